"""Strategies that ask for the scans of which the model is least sure, as in FM-ABS."""

from __future__ import annotations

import math

import torch

from common.query.prediction import check_probabilities
from common.query.strategy import ScoringStrategy
from common.schedules import GaussianRampUp


def highest_probability(probabilities: torch.Tensor) -> torch.Tensor:
    """The probability of the likeliest class, ``[C, H, W, D]`` to ``[H, W, D]``, 1/C to 1."""
    return check_probabilities(probabilities).amax(dim=0)


def normalised_entropy(probabilities: torch.Tensor) -> torch.Tensor:
    """``-Σ p·log p / log C``, ``[C, H, W, D]`` to ``[H, W, D]``, 0 (certain) to 1 (all classes alike)."""
    given = check_probabilities(probabilities)
    return torch.special.entr(given).sum(dim=0) / math.log(given.shape[0])


class LeastConfidence(ScoringStrategy):
    """LC: one minus the mean probability of the likeliest class over the voxels where it is lowest.

    Args:
        share: Share of the voxels over which the mean is taken, above 0 and at most 1; a quarter in the paper.

    Raises:
        ValueError: If ``share`` is out of its range.
    """

    name = "lc"

    def __init__(self, share: float = 0.25) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share must lie in (0, 1], got {share}.")
        self.share = share

    def score(self, probabilities: torch.Tensor, *, progress: float) -> float:
        """The score, 0 to 1 - 1/C; see :class:`common.query.Strategy`."""
        voxels = highest_probability(probabilities).flatten()
        lowest = voxels.topk(max(int(self.share * voxels.numel()), 1), largest=False, sorted=False).values
        return 1 - lowest.mean(dtype=torch.float64).item()


class HighestEntropy(ScoringStrategy):
    """HE: the mean of the voxels' normalised entropy."""

    name = "he"

    def score(self, probabilities: torch.Tensor, *, progress: float) -> float:
        """The score, 0 to 1; see :class:`common.query.Strategy`."""
        return normalised_entropy(probabilities).mean(dtype=torch.float64).item()


class HighestEntropyRatio(ScoringStrategy):
    """HER: the share of voxels with a normalised entropy above β, which rises with the training's progress.

    ``β = start + (maximum - start)·exp(-5(1 - progress)²)``.

    Args:
        start: β at the beginning of the training.
        maximum: β at the end of the training.

    Raises:
        ValueError: Unless ``0 <= start <= maximum < 1``.
    """

    name = "her"

    def __init__(self, start: float = 0.5, maximum: float = 0.75) -> None:
        if not 0 <= start <= maximum < 1:
            raise ValueError(f"expected 0 <= start <= maximum < 1, got start {start} and maximum {maximum}.")
        self.beta = GaussianRampUp(maximum=maximum, length=1, start=start)

    def score(self, probabilities: torch.Tensor, *, progress: float) -> float:
        """The score, 0 to 1; see :class:`common.query.Strategy`."""
        return (normalised_entropy(probabilities) > self.beta(progress)).double().mean().item()
