"""Compares query strategies by their scores with several seeds and budgets."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

Scores = Mapping[str, Mapping[tuple[int, int], float]]
"""Score by strategy, then by seed and budget."""


def curve(scores: Mapping[tuple[int, int], float]) -> tuple[list[int], list[float], list[float]]:
    """The budgets in order, and the mean and standard deviation (0 for one seed) over the seeds at each."""
    budgets = sorted({budget for _, budget in scores})
    found = [[score for (_, other), score in scores.items() if other == budget] for budget in budgets]
    spread = [statistics.stdev(values) if len(values) > 1 else 0.0 for values in found]
    return budgets, [statistics.mean(values) for values in found], spread


def area_under_curve(budgets: Sequence[int], scores: Sequence[float]) -> float:
    """The mean of the score over the logarithm of the budget, from the least to the largest budget.

    It is computed by trapezoids; with one budget it is the score. Equal factors between budgets have equal weights.

    Raises:
        ValueError: If budgets do not rise, or are not as many as the scores.
    """
    if len(budgets) != len(scores) or not budgets or any(a >= b for a, b in itertools.pairwise(budgets)):
        raise ValueError(f"budgets must rise and be as many as scores, got {list(budgets)} and {list(scores)}.")
    places = np.log(budgets)
    if len(budgets) == 1:
        return float(scores[0])
    return float(np.trapezoid(scores, places) / (places[-1] - places[0]))


def areas(scores: Mapping[tuple[int, int], float]) -> list[float]:
    """The area under each seed's curve, in the order of the seeds."""
    found = []
    for seed in sorted({seed for seed, _ in scores}):
        own = dict(sorted((budget, score) for (other, budget), score in scores.items() if other == seed))
        found.append(area_under_curve(list(own), list(own.values())))
    return found


def wins(scores: Scores) -> dict[tuple[str, str], float]:
    """For each pair of strategies, the share of the seeds and budgets of both at which the first is better.

    Ties count half.
    """
    found = {}
    for first in scores:
        for second in scores:
            shared = scores[first].keys() & scores[second].keys()
            if first != second and shared:
                points = [np.sign(scores[first][at] - scores[second][at]) / 2 + 0.5 for at in shared]
                found[first, second] = float(np.mean(points))
    return found
