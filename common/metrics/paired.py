"""Tests of whether two runs differ on the same scans."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import PermutationMethod, wilcoxon

EXACT = 50
"""Largest number of different distances from zero for which scipy's table of the exact distribution is used."""

ENUMERATED = 13
"""Largest number of equal distances from zero for which all signs are tried out."""


def signed_rank_p(differences: Sequence[float] | NDArray[np.floating]) -> float:
    """Computes the two-sided p-value of Wilcoxon's signed-rank test (Biometrics Bulletin 1945) that a median is 0.

    It is exact, but for more than 50 scans, or more than 13 of which some differ equally, where the normal
    approximation serves. Scans without a difference are left out, as Wilcoxon does.

    Args:
        differences: Finite difference of two runs on each scan.

    Returns:
        The p-value; 1 if no scan differs.

    Example:
        >>> signed_rank_p([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
        0.03125
    """
    given = np.asarray(differences, dtype=float)
    given = given[given != 0]
    count = len(given)
    if count == 0:
        return 1.0
    tied = len(np.unique(np.abs(given).round(12))) < count
    method = "exact" if count <= EXACT else "asymptotic"
    if tied:
        method = PermutationMethod(n_resamples=2**ENUMERATED) if count <= ENUMERATED else "asymptotic"
    return float(wilcoxon(given.round(12), method=method).pvalue)


def least_p(scans: int) -> float:
    """The smallest p-value that :func:`signed_rank_p` can give: that of one run being better on every scan.

    Args:
        scans: Number of scans, at least 1.

    Example:
        >>> least_p(5), least_p(6)
        (0.0625, 0.03125)
    """
    return min(1.0, 2.0 ** (1 - scans))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusts p-values for the number of tests (Holm, Scand. J. Statist. 1979), so that all can be held against 0.05.

    The smallest of ``m`` is multiplied by ``m``, the next by ``m - 1`` and so on; none becomes smaller than one before
    it, or larger than 1.

    Args:
        p_values: The p-values of all tests, in any order.

    Returns:
        The adjusted ones, in the same order.

    Example:
        >>> holm([0.25, 0.125])
        [0.25, 0.25]
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = highest
    return adjusted
