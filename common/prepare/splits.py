"""Divides scans into training, validation and test scans."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

from common.cohort.cohort import SPLITS

Splits = dict[str, list[str]]


def divide(
    names: Sequence[str],
    *,
    labelled: Sequence[str] | None = None,
    validation: int | None = None,
    test: int | None = None,
    split: Sequence[int] | None = None,
    lists: Sequence[str | Path] | None = None,
    seed: int = 0,
) -> Splits:
    """Divides scans in the one way that is given; without any, all are for training.

    Args:
        names: Names of all scans.
        labelled: Names of those that have a label; by default all do.
        validation, test: Numbers of scans, see :func:`split_by_count`.
        split: Three numbers of scans to draw at random, see :func:`split_at_random`.
        lists: Files that name the scans, see :func:`split_by_lists`.
        seed: Seed of the draw.

    Raises:
        FileNotFoundError, ValueError: As raised by these functions; or if two ways are given.
    """
    given = {"validation": validation, "test": test, "split": split, "lists": lists}
    ways = [name for name, value in given.items() if value is not None]
    if len(ways) > 1 and ways != ["validation", "test"]:
        raise ValueError(f"scans must be divided in one way, got {' and '.join(ways)}; give one of them.")
    if split is not None:
        return split_at_random(names, split, seed)
    if lists is not None:
        return split_by_lists(names, lists)
    return split_by_count(names, names if labelled is None else labelled, validation or 0, test or 0)


def split_by_count(names: Sequence[str], labelled: Sequence[str], validation: int, test: int) -> Splits:
    """The last labelled scans are for validation, those before them for testing, all others for training.

    Args:
        names: Names of all scans.
        labelled: Names of those that have a label.
        validation: Number of labelled scans for validation.
        test: Number of scans for testing: labelled ones and, where these do not suffice, the last others.

    Raises:
        ValueError: If there are fewer scans than that.
    """
    if not 0 <= validation <= len(labelled):
        raise ValueError(f"validation must be 0 to {len(labelled)}, the number of labelled scans, got {validation}.")
    if not 0 <= test <= len(names) - validation:
        raise ValueError(
            f"test must be 0 to {len(names) - validation}, the number of scans besides the validation ones, got {test}."
        )
    last = set(labelled[len(labelled) - validation :])
    rest = [name for name in names if name not in last]
    by_preference = [name for name in rest if name not in labelled] + [name for name in rest if name in labelled]
    held_out = set(by_preference[len(by_preference) - test :])
    return {
        "training": [name for name in rest if name not in held_out],
        "validation": [name for name in names if name in last],
        "test": [name for name in rest if name in held_out],
    }


def split_at_random(scans: Sequence[str], numbers: Sequence[int], seed: int) -> Splits:
    """Draws given numbers of scans for training, validation and testing.

    Args:
        scans: Names of all scans.
        numbers: Three numbers that add up to that of the scans.
        seed: Seed of the draw.

    Returns:
        The names of each split, sorted.

    Raises:
        ValueError: If the numbers do not add up.
    """
    given = ",".join(map(str, numbers))
    if len(numbers) != len(SPLITS) or min(numbers) < 0:
        raise ValueError(
            f"split must be three numbers of scans, for training, validation and testing, as in 250,25,60; got {given}."
        )
    if sum(numbers) != len(scans):
        raise ValueError(
            f"split must add up to the {len(scans)} scans that were found, got {given}, which makes {sum(numbers)}."
        )
    drawn = np.random.default_rng(seed).permutation(sorted(scans)).tolist()
    bounds = pairwise([0, *accumulate(numbers)])
    return {split: sorted(drawn[low:high]) for split, (low, high) in zip(SPLITS, bounds, strict=True)}


def split_by_lists(scans: Sequence[str], files: Sequence[str | Path]) -> Splits:
    """Reads who belongs to which split from text files; scans that none of them names are left out.

    Args:
        scans: Names of all scans.
        files: Files for training, validation and, if there is one, testing, with a name per line. What follows a
            comma is ignored.

    Returns:
        The names of each split, in the order of its file.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If there are not two or three files, a name occurs twice or is not among the scans, or there is
            none in any of them.
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
            raise FileNotFoundError(f"{file}: no such file; expected a list of scans for {split}, one per line.")
        for line in file.read_text(encoding="utf-8").splitlines():
            name = line.split(",")[0].strip()
            if not name:
                continue
            if name in where:
                raise ValueError(f"{file}: expected every scan once, found {name} again, which is in {where[name]}.")
            where[name] = file
            splits[split].append(name)
    unknown = [name for name in where if name not in scans]
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise ValueError(
            f"{where[unknown[0]]}: expected names of the {len(scans)} scans that were found, such as "
            f"{scans[0]}; found {', '.join(unknown[:5])}{more}."
        )
    if not where:
        raise ValueError(f"{', '.join(map(str, files))}: expected the name of at least one scan, found none.")
    return splits
