"""Strategies that leave the choice to chance."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from common.query.prediction import check_probabilities
from common.query.strategy import Candidates, ScoringStrategy


class Random(ScoringStrategy):
    """Gives every scan the same chance."""

    name = "random"
    needs_predictions = False

    def choose(self, candidates: Candidates) -> list[str]:
        """Scans at random; see :class:`common.query.Strategy`."""
        scans = candidates.checked()
        order = np.random.default_rng(candidates.seed).permutation(len(scans))
        return [scans[position] for position in order[: candidates.number]]


class ForegroundAwareRandom(ScoringStrategy):
    """Gives each scan a chance in proportion to its predicted foreground.

    Scans without any predicted foreground come last, in random order.
    """

    name = "foreground_random"

    def score(self, probabilities: Tensor, *, progress: float) -> float:
        """The number of voxels whose likeliest class is not the background."""
        return float((check_probabilities(probabilities).argmax(dim=0) != 0).sum().item())

    def choose(self, candidates: Candidates) -> list[str]:
        """Scans drawn one by one, each with a chance in proportion to its score among those that are left.

        See :class:`common.query.Strategy`.

        Raises:
            ValueError: Also if a score is negative.
        """
        scans = candidates.checked()
        scores = candidates.measure("score")
        weights = np.array([scores[scan] for scan in scans], dtype=np.float64)
        if (weights < 0).any():
            raise ValueError(f"scores must not be negative, got {weights.min()}.")
        # The first of independent exponential clocks with these rates to ring is a draw in proportion to the rates.
        clocks = np.random.default_rng(candidates.seed).exponential(size=len(scans))
        waits = np.divide(clocks, weights, out=np.full(len(scans), np.inf), where=weights > 0)
        return [scans[position] for position in np.lexsort((clocks, waits))[: candidates.number]]
