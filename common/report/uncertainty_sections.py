"""Figures and numbers of the section on which predictions to look at, and how far their uncertainty can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from common.report.story import RunRecord
from common.report.uncertainty_figures import agreement, reliability_diagram

FIRST = 10
"""Number of predictions that are shown at once; the others are folded away."""


@dataclass(frozen=True)
class Prediction:
    """A prediction that a person may look at.

    Attributes:
        scan: Id of the scan.
        uncertainty: Its uncertainty, 0 to 1; NaN if nothing was predicted.
        dice: Its Dice, 0 to 1; None if it was not evaluated.
    """

    scan: str
    uncertainty: float
    dice: float | None


def uncertainty(run: RunRecord) -> dict[str, Any]:
    """Prepares the section.

    Returns:
        ``first`` and ``others``, the predictions in the order in which a person should look at them; ``evaluated``,
        whether Dice is known of any; ``rank_correlation`` of uncertainty and error over ``scans`` scans (NaN for fewer
        than three) with its ``agreement`` figure, None for fewer than two; and a ``reliability`` figure with the
        ``calibration_error``, None if there were no labels. Empty if no uncertainty is known.
    """
    ranked = look_first(run)
    if not ranked:
        return {}
    pairs = [(it.uncertainty, 1 - it.dice, it.scan) for it in ranked if it.dice is not None]
    pairs = [pair for pair in pairs if math.isfinite(pair[0])]
    given, errors = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return {
        "first": ranked[:FIRST],
        "others": ranked[FIRST:],
        "evaluated": any(it.dice is not None for it in ranked),
        "scans": len(pairs),
        "rank_correlation": rank_correlation(given, errors),
        "agreement": agreement(given, errors) if len(pairs) > 1 else None,
        "reliability": reliability_diagram(run.reliability) if run.reliability else None,
        "calibration_error": calibration_error(run.reliability),
    }


def look_first(run: RunRecord) -> list[Prediction]:
    """Ranks a run's predictions: those without any foreground first, then the most uncertain ones."""
    dice = run.dice
    found = [Prediction(scan, number, dice.get(scan)) for scan, number in run.uncertainty.items()]
    return sorted(found, key=lambda it: (not math.isnan(it.uncertainty), -it.uncertainty, it.scan))


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation, -1 to 1; NaN for fewer than three pairs, or where one side is constant."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(spearmanr(first, second).statistic)


def calibration_error(ranges: Sequence[Mapping[str, float]]) -> float | None:
    """The expected calibration error: the mean distance of accuracy from confidence, 0 to 1, weighted by voxels.

    Args:
        ranges: ``voxels``, ``confidence`` and ``accuracy`` of each range of confidence.

    Returns:
        The error; None if there are no voxels.
    """
    voxels = sum(one["voxels"] for one in ranges)
    return sum(one["voxels"] * abs(one["accuracy"] - one["confidence"]) for one in ranges) / voxels if voxels else None
