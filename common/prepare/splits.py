"""Divides patients into training, validation and test scans."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from common.cohort.cohort import SPLITS

Splits = dict[str, list[str]]


def split_by_name(patients: Sequence[str], validation: int) -> Splits:
    """The last patients are for validation, all others for training.

    Raises:
        ValueError: If no patient is left for training, or the number is negative.
    """
    if not 0 <= validation < len(patients):
        raise ValueError(
            f"validation must be 0 to {len(patients) - 1} of the {len(patients)} patients, got {validation}."
        )
    training = len(patients) - validation
    return {"training": list(patients[:training]), "validation": list(patients[training:]), "test": []}


def split_at_random(patients: Sequence[str], numbers: Sequence[int], seed: int) -> Splits:
    """Draws given numbers of patients for training, validation and testing.

    Args:
        patients: Names of all patients.
        numbers: Three numbers that add up to that of the patients.
        seed: Seed of the draw.

    Returns:
        The names of each split, sorted.

    Raises:
        ValueError: If the numbers do not add up, or no patient is left for training.
    """
    given = ",".join(map(str, numbers))
    if len(numbers) != len(SPLITS) or min(numbers) < 0 or numbers[0] < 1:
        raise ValueError(
            "split must be three numbers of patients, for training (at least 1), validation and testing, as in "
            f"250,25,60; got {given}."
        )
    if sum(numbers) != len(patients):
        raise ValueError(
            f"split must add up to the {len(patients)} patients that were found, got {given}, which makes "
            f"{sum(numbers)}."
        )
    drawn = np.random.default_rng(seed).permutation(sorted(patients)).tolist()
    bounds = pairwise([0, *accumulate(numbers)])
    return {split: sorted(drawn[low:high]) for split, (low, high) in zip(SPLITS, bounds, strict=True)}


def split_by_lists(patients: Sequence[str], files: Sequence[str | Path]) -> Splits:
    """Reads who belongs to which split from text files; patients whom none of them names are left out.

    Args:
        patients: Names of all patients.
        files: Files for training, validation and, if there is one, testing, with a patient per line. What follows a
            comma is ignored.

    Returns:
        The names of each split, in the order of its file.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If there are not two or three files, a name occurs twice or is not among the patients, or there is
            none for training.
    """
    if len(files) not in (2, 3):
        raise ValueError(
            f"lists must be two or three files, for training, validation and testing, got {len(files)}: "
            f"{', '.join(map(str, files))}."
        )
    splits: Splits = {split: [] for split in SPLITS}
    where: dict[str, Path] = {}
    for split, file in zip(SPLITS, map(Path, files), strict=False):
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file; expected a list of patients for {split}, one per line.")
        for line in file.read_text(encoding="utf-8").splitlines():
            name = line.split(",")[0].strip()
            if not name:
                continue
            if name in where:
                raise ValueError(f"{file}: expected every patient once, found {name} again, who is in {where[name]}.")
            where[name] = file
            splits[split].append(name)
    unknown = [name for name in where if name not in patients]
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise ValueError(
            f"{where[unknown[0]]}: expected names of the {len(patients)} patients that were found, such as "
            f"{patients[0]}; found {', '.join(unknown[:5])}{more}."
        )
    if not splits["training"]:
        raise ValueError(f"{files[0]}: expected at least one patient for training, found none.")
    return splits
