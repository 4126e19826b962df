"""``model_info.json``: where each bundle's zip is, as MONAI reads it from a repository's ``models/`` folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.files import read_json, write_json
from common.packing.sums import sha256

MODEL_INFO = "model_info.json"
PUBLISHED = Path("models", MODEL_INFO)
"""Where the repository keeps it, with the bundles of former releases: MONAI looks for it there at a release's tag."""

UNKNOWN_REPOSITORY = "OWNER/REPOSITORY"
"""Stands for the repository at GitHub as long as nobody has said which it is."""


def write_model_info(root: Path, folder: Path, version: str, repository: str) -> None:
    """Writes the entries of the zips of a folder, and those of former releases, atomically.

    Args:
        root: The repository's folder.
        folder: Folder of the zips, which gets the file.
        version: Version of this release.
        repository: ``OWNER/NAME`` of the repository at GitHub whose release ``vVERSION`` has the zips.
    """
    entries: dict[str, Any] = read_json(root / PUBLISHED) if (root / PUBLISHED).is_file() else {}
    for path in folder.glob(f"*_v{version}.zip"):
        entries[path.stem] = {
            "checksum": sha256(path),
            "hash_type": "sha256",
            "source": f"https://github.com/{repository}/releases/download/v{version}/{path.name}",
        }
    write_json(folder / MODEL_INFO, dict(sorted(entries.items())))
