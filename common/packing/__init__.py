"""Bundles as zip files: packed from the repository, checked, and unpacked by those who download them."""

from common.packing.fetch import fetch_bundle
from common.packing.packed import Packed, pack
from common.packing.release import check_packed, check_ready, next_steps

__all__ = ["Packed", "check_packed", "check_ready", "fetch_bundle", "next_steps", "pack"]
