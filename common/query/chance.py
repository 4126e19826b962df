"""Strategies that leave it to chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from common.query.strategy import check_choice, check_probabilities


class Random:
    """Every scan has the same chance."""

    name = "random"
    needs_features = False

    def score(self, probabilities: torch.Tensor, *, progress: float) -> float:
        """0 for every scan."""
        return 0.0

    def choose(
        self,
        scores: Mapping[str, float],
        number: int,
        *,
        seed: int,
        features: Mapping[str, torch.Tensor] | None = None,
        known: Sequence[torch.Tensor] = (),
    ) -> list[str]:
        """``number`` scans at random; see :class:`common.query.Strategy`."""
        scans = check_choice(scores, number)
        order = np.random.default_rng(seed).permutation(len(scans))
        return [scans[position] for position in order[:number]]


class ForegroundAwareRandom:
    """A scan's chance is proportional to its predicted foreground.

    Scans without any predicted foreground come last, at random among themselves.
    """

    name = "foreground_random"
    needs_features = False

    def score(self, probabilities: torch.Tensor, *, progress: float) -> float:
        """The number of voxels whose likeliest class is not the background."""
        return float((check_probabilities(probabilities).argmax(dim=0) != 0).sum().item())

    def choose(
        self,
        scores: Mapping[str, float],
        number: int,
        *,
        seed: int,
        features: Mapping[str, torch.Tensor] | None = None,
        known: Sequence[torch.Tensor] = (),
    ) -> list[str]:
        """``number`` scans drawn one by one, each with a chance proportional to its score among those that are left.

        See :class:`common.query.Strategy`.

        Raises:
            ValueError: also if a score is negative.
        """
        scans = check_choice(scores, number)
        weights = np.array([scores[scan] for scan in scans], dtype=np.float64)
        if (weights < 0).any():
            raise ValueError(f"scores must not be negative, got {weights.min()}.")
        # The first of independent exponential clocks with these rates to ring is a draw in proportion to the rates.
        clocks = np.random.default_rng(seed).exponential(size=len(scans))
        waits = np.divide(clocks, weights, out=np.full(len(scans), np.inf), where=weights > 0)
        return [scans[position] for position in np.lexsort((clocks, waits))[:number]]
