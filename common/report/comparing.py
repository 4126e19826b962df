"""Compares runs on the scans that all of them were evaluated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from common.metrics import Interval, bootstrap_interval, holm, least_p, signed_rank_p
from common.report.story import RunRecord


@dataclass(frozen=True)
class Pair:
    """Two runs on the same scans, in Dice (0..1).

    Attributes:
        first, second: Titles of the runs.
        difference: Mean Dice of the first minus that of the second.
        interval: Paired bootstrap interval of the difference; None for a single scan.
        better, worse: Number of scans on which the first run is better, and worse.
        p: Two-sided p-value of Wilcoxon's signed-rank test.
        p_adjusted: The same after Holm's correction for all pairs.
    """

    first: str
    second: str
    difference: float
    interval: Interval | None
    better: int
    worse: int
    p: float
    p_adjusted: float


@dataclass(frozen=True)
class Comparison:
    """Runs that were evaluated on the same scans.

    Attributes:
        dice: Mean Dice over the classes (0..1) of each shared scan, by scan, by the run's title.
        left_out: Scans that not all runs were evaluated on, sorted.
        pairs: All pairs of runs, in the order of the runs.
    """

    dice: Mapping[str, Mapping[str, float]]
    left_out: tuple[str, ...]
    pairs: tuple[Pair, ...]

    @property
    def scans(self) -> list[str]:
        """The scans that all runs were evaluated on, sorted."""
        return list(next(iter(self.dice.values())))

    @property
    def least_p(self) -> float:
        """The smallest p-value that a test of so many scans can give, after Holm's correction."""
        return min(1.0, len(self.pairs) * least_p(len(self.scans)))


def compare(runs: Sequence[RunRecord]) -> Comparison:
    """Compares all pairs of runs by their Dice on the scans that all of them share.

    Args:
        runs: At least two runs with scores and with titles of their own.

    Raises:
        ValueError: If there are fewer than two runs, one was not evaluated, or they differ in their classes or in the
            split that they were evaluated on, or share no scan; names the runs.
    """
    if len(runs) < 2:
        raise ValueError(f"expected at least two runs to compare, got {len(runs)}.")
    for run in runs:
        if not run.dice:
            raise ValueError(
                f"{run.title}: expected an evaluated run, found no scores in evaluation/metrics.csv; evaluate it first."
            )
    first = runs[0]
    for run in runs[1:]:
        _check_same("classes", first, ", ".join(first.classes), run, ", ".join(run.classes))
        if first.split is not None and run.split is not None:
            _check_same("split", first, first.split, run, run.split)
    dice = {run.title: run.dice for run in runs}
    shared = sorted(set.intersection(*(set(found) for found in dice.values())))
    if not shared:
        examples = "; ".join(f"{title}: {', '.join(list(found)[:3])}, …" for title, found in dice.items())
        raise ValueError(
            f"expected runs that were evaluated on the same scans, found none that all share ({examples})."
        )
    left_out = sorted(set.union(*(set(found) for found in dice.values())) - set(shared))
    kept = {title: {scan: found[scan] for scan in shared} for title, found in dice.items()}
    return Comparison(kept, tuple(left_out), _pairs(kept))


def _check_same(what: str, first: RunRecord, expected: str, run: RunRecord, found: str) -> None:
    if expected != found:
        raise ValueError(
            f"expected runs of the same {what}, found {expected} in {first.title} and {found} in {run.title}; compare "
            "runs that were evaluated alike."
        )


def _pairs(dice: Mapping[str, Mapping[str, float]]) -> tuple[Pair, ...]:
    differences = {
        pair: np.array([dice[pair[0]][scan] - dice[pair[1]][scan] for scan in dice[pair[0]]])
        for pair in combinations(dice, 2)
    }
    p_values = [signed_rank_p(given) for given in differences.values()]
    return tuple(
        Pair(
            *pair,
            difference=float(given.mean()),
            interval=bootstrap_interval(given),
            better=int((given > 0).sum()),
            worse=int((given < 0).sum()),
            p=p,
            p_adjusted=adjusted,
        )
        for (pair, given), p, adjusted in zip(differences.items(), p_values, holm(p_values), strict=True)
    )
