"""What tells one cohort from another under the same ids, found without reading whole files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from common.cohort.cohort import Cohort
from common.cohort.volumes import open_nifti

SAMPLE = 1 << 14
"""Bytes that are read in the middle and at the end of each file."""


def fingerprint(cohort: Cohort) -> dict[str, dict[str, Any]]:
    """Split, size, grid and a sample of the bytes of each image that a training uses, by the scan's id.

    Raises:
        FileNotFoundError, ValueError: If an image cannot be opened.
    """
    scans = [(split, scan) for split in ("training", "validation") for scan in getattr(cohort, split)]
    return {scan.id: {"split": split, **_image(scan.image)} for split, scan in scans}


def first_difference(former: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> str | None:
    """The first scan in which two fingerprints differ, and how, in words; None if they are the same."""
    for scan in [*former, *(scan for scan in now if scan not in former)]:
        if scan not in now:
            return f"{scan}, which was there ({former[scan]['split']}), is not"
        if scan not in former:
            return f"{scan} ({now[scan]['split']}) was not there"
        for name, words in WORDS.items():
            if former[scan].get(name) != now[scan][name]:
                shown = "" if name == "sample" else f", {former[scan].get(name)} then, {now[scan][name]} now"
                return f"{scan} has another {words}{shown}"
    return None


WORDS = {"split": "split", "shape": "shape", "affine": "affine", "bytes": "size in bytes", "sample": "content"}


def _image(path: Path) -> dict[str, Any]:
    image = open_nifti(path)
    size = path.stat().st_size
    found = hashlib.blake2b(digest_size=8)
    with path.open("rb") as file:
        for place in (size // 2, max(size - SAMPLE, 0)):
            file.seek(place)
            found.update(file.read(SAMPLE))
    return {
        "shape": [int(side) for side in image.shape],
        "affine": image.affine.round(4).tolist(),
        "bytes": size,
        "sample": found.hexdigest(),
    }
