"""The settings of bundles and commands: what each may be, which a resumed run may change, and the pages' tables."""

from common.settings.schema import check_values, read_schema
from common.settings.setting import Setting

__all__ = ["Setting", "check_values", "read_schema"]
