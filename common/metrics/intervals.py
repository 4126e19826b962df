"""Bootstrap intervals of means over scans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 0


class Interval(NamedTuple):
    """An interval of a mean.

    Attributes:
        low: Lower end.
        high: Upper end.
    """

    low: float
    high: float


def bootstrap_interval(
    values: Sequence[float] | NDArray[np.floating],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval | None:
    """Computes the percentile bootstrap interval of a mean over scans (Efron, Ann. Statist. 1979).

    Scans are drawn with replacement, as many as there are, ``resamples`` times; the interval holds the middle
    ``confidence`` of the means of these draws. Of the differences of two runs on the same scans it is their paired
    interval. It tells how much the mean depends on which scans were tested, not on the training's seed.

    Args:
        values: A number per scan; NaN, where it is not defined, is left out.
        confidence: Share of the means that the interval holds, above 0 and below 1.
        resamples: Number of draws.
        seed: Seed of the draws.

    Returns:
        The interval; None if there are fewer than two numbers.

    Raises:
        ValueError: If ``confidence`` is out of its range, or ``resamples`` below 1.

    Example:
        >>> bootstrap_interval([0.5, 0.5, 0.5])
        Interval(low=0.5, high=0.5)
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}.")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}.")
    given = np.asarray(values, dtype=float)
    given = given[~np.isnan(given)]
    if len(given) < 2:
        return None
    drawn = np.random.default_rng(seed).integers(len(given), size=(resamples, len(given)))
    low, high = np.quantile(given[drawn].mean(axis=1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))
