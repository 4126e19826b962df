"""Checksums of the files of a release, in the form that ``sha256sum --check`` reads."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from common.files import replacing

SUMS = "SHA256SUMS"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_sums(folder: Path) -> None:
    """Writes ``SHA256SUMS`` of all other files of a folder, atomically."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    with replacing(folder / SUMS) as temporary:
        temporary.write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names), encoding="utf-8")


def read_sums(text: str, *, where: str) -> dict[str, str]:
    """SHA-256 by file name.

    Args:
        text: Content of a file of sums.
        where: Where it is from, for the message.

    Raises:
        ValueError: If a line is not a SHA-256 and a file name.
    """
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        if (match := re.fullmatch(r"([0-9a-fA-F]{64})\s+\*?(.+)", line)) is None:
            raise ValueError(f"{where}: expected lines of a SHA-256 and a file name, found {line[:100]!r}.")
        found[match[2].rsplit("/", 1)[-1]] = match[1].lower()
    return found


def check_sums(folder: Path) -> list[str]:
    """Checks the files of a folder against its ``SHA256SUMS``.

    Returns:
        Names of the files that were checked.

    Raises:
        ValueError: Naming every file that is missing, differs, or is not listed.
    """
    expected = read_sums((folder / SUMS).read_text(encoding="utf-8"), where=str(folder / SUMS))
    present = {path.name for path in folder.iterdir() if path.is_file()} - {SUMS}
    faults = [f"{name}: listed, but missing" for name in sorted(expected.keys() - present)]
    faults += [f"{name}: not listed" for name in sorted(present - expected.keys())]
    for name in sorted(present & expected.keys()):
        if (found := sha256(folder / name)) != expected[name]:
            faults.append(f"{name}: expected SHA-256 {expected[name]}, found {found}")
    if faults:
        raise ValueError(f"{folder / SUMS} and the files beside it disagree:\n  " + "\n  ".join(faults))
    return sorted(expected)
