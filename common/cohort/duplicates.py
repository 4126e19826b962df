"""Finds one image in two splits of a cohort, under two names."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

from common.cohort.cohort import SPLITS, Cohort


def duplicate_problems(cohort: Cohort) -> list[str]:
    """One line for each image that is in two splits: the same bytes under two names.

    Only files of one size are read.
    """
    sizes: dict[int, list[tuple[str, Path]]] = defaultdict(list)
    for split in SPLITS:
        for scan in getattr(cohort, split):
            try:
                sizes[scan.image.stat().st_size].append((split, scan.image))
            except OSError:
                continue  # a missing file is a problem of its own
    found = []
    for files in sizes.values():
        if len({split for split, _ in files}) < 2:
            continue
        first: dict[str, tuple[str, Path]] = {}
        for split, path in files:
            former, other = first.setdefault(_digest(path), (split, path))
            if former != split:
                found.append(
                    f"{path}: expected an image that is in one split alone, found the bytes of {other} ({former}) "
                    f"again ({split}); take one of them out, since a model must not be tested on what it has seen."
                )
    return found


def _digest(path: Path) -> str:
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()
