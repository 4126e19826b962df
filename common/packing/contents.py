"""Which files of the repository belong in a bundle's zip."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from common.packing.sums import sha256
from common.packing.tracked import tracked

WHITELIST = (
    "LICENSE",
    "configs/*.json",
    "configs/logging.conf",
    "docs/*",
    "large_files.yml",
    "models/model.json",
    "models/model.pt",
)
"""Patterns of a bundle's own files that travel; nothing else does, and nothing that git does not track."""

NEEDED = ("LICENSE", "configs/metadata.json", "configs/train.json", "configs/inference.json", "docs/README.md")
"""Files without which a bundle is not packed."""

LARGEST = 25_000_000
"""Bytes beyond which a file is downloaded by itself, by its entry in ``large_files.yml``, as the model zoo asks."""

LARGE_FILES = "large_files.yml"


def bundle_names(root: Path) -> list[str]:
    """Names of all bundles that git tracks, sorted."""
    return sorted({name.split("/")[1] for name in tracked(root, "bundles") if name.count("/") > 1})


def bundle_contents(root: Path, bundle: str) -> tuple[dict[str, Path], list[str]]:
    """The files of a bundle's zip.

    Args:
        root: The repository's folder.
        bundle: The bundle's name.

    Returns:
        The files by their names in the zip, which all begin with the bundle's name, and the names of the bundle's other
        tracked files, which are left out.

    Raises:
        FileNotFoundError: If a file that every bundle needs is missing or not tracked.
        ValueError: If a file is too large for a bundle and not listed in `large_files.yml`, or not as it is.
    """
    folder = f"bundles/{bundle}/"
    own = [name.removeprefix(folder) for name in tracked(root, folder)]
    chosen = [name for name in own if any(fnmatchcase(name, pattern) for pattern in WHITELIST)]
    if missing := [name for name in NEEDED if name not in chosen]:
        raise FileNotFoundError(f"{root / folder}: expected {', '.join(missing)} among the files that git tracks.")
    files = {f"{bundle}/{name}": root / folder / name for name in chosen}
    files |= {f"{bundle}/{name}": root / name for name in tracked(root, "common")}
    files[f"{bundle}/common/LICENSE"] = root / "LICENSE"
    listed = _large_files(root / folder / LARGE_FILES) if LARGE_FILES in chosen else {}
    for name, path in list(files.items()):
        entry = listed.get(name.removeprefix(f"{bundle}/"))
        if entry is not None:
            _check_listed(path, entry)
            del files[name]
        elif (size := path.stat().st_size) > LARGEST:
            raise ValueError(
                f"{path}: expected at most {LARGEST:,} bytes in a bundle, found {size:,}; make it smaller, or list it "
                f"in {folder}{LARGE_FILES} with its address and SHA-256."
            )
    return files, [name for name in own if name not in chosen]


def _check_listed(path: Path, entry: dict[str, Any]) -> None:
    if entry["hash_val"] != (found := sha256(path)):
        raise ValueError(
            f"{path}: {LARGE_FILES} expects SHA-256 {entry['hash_val']}, found {found}; list the file as it is."
        )


def _large_files(path: Path) -> dict[str, dict[str, Any]]:
    """The entries of a bundle's list of large files, by path within the bundle."""
    try:
        import yaml
    except ImportError:
        raise ImportError(f"{path}: PyYAML is needed to read it: python -m pip install pyyaml") from None
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    entries = content.get("large_files") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path}: expected a list large_files of entries, found {content!r}.")
    for entry in entries:
        if missing := [key for key in ("path", "url", "hash_val", "hash_type") if not entry.get(key)]:
            raise ValueError(f"{path}: expected {', '.join(missing)} in each entry, found {entry}.")
        if entry["hash_type"] != "sha256":
            raise ValueError(f"{path}: expected hash_type sha256 for {entry['path']}, found {entry['hash_type']!r}.")
    return {entry["path"]: entry for entry in entries}
