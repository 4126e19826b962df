"""``python -m common.settings``: writes the tables of settings on the bundles' pages anew, from their schemas."""

from pathlib import Path

import common
from common.settings.tables import write_pages

if __name__ == "__main__":
    pages = write_pages(Path(common.__file__).resolve().parents[1] / "bundles")
    print("\n".join(map(str, pages)) or "All tables are as their schemas say.")
