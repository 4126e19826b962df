"""A strategy by predictive entropy that gives small structures their share, and leaves much to chance at first."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from common.query.strategy import Candidates, ScoringStrategy
from common.query.uncertainty import normalised_entropy


class ClassStratifiedPowerEntropy(ScoringStrategy):
    """ClaSP PE (Lüth et al., arXiv 2601.13677), reduced to whole scans.

    The paper queries patches: some for each class, by the power of their entropy with noise that decays from round to
    round. Here a scan's entropy is the mean over the foreground classes of the mean normalised entropy ``s`` of the
    voxels predicted as that class, 0 for a class that is predicted nowhere: each class counts alike, however small.
    The score is ``β·log s``, to which the choice adds standard Gumbel noise: scans are drawn one by one with chances
    proportional to ``s^β`` (power acquisition, Kirsch et al., TMLR 2023). ``β = start·(end / start)^progress``. The
    reduction and the schedule are ours.

    Args:
        start: β at the beginning of the training, above 0.
        end: β at the end of the training, at least ``start``.

    Raises:
        ValueError: Unless ``0 < start <= end``.
    """

    name = "clasp_pe"

    LEAST = 1e-6
    """Entropies count as at least this, so that their logarithms are finite."""

    def __init__(self, start: float = 1.0, end: float = 100.0) -> None:
        if not 0 < start <= end < math.inf:
            raise ValueError(f"expected 0 < start <= end, got start {start} and end {end}.")
        self.start = start
        self.end = end

    def beta(self, progress: float) -> float:
        """β at a share of the training, 0 to 1."""
        return self.start * (self.end / self.start) ** progress

    def score(self, probabilities: Tensor, *, progress: float) -> float:
        """The score ``β·log s``, at most 0; see :class:`common.query.Strategy`."""
        entropy = normalised_entropy(probabilities).double().flatten()
        predicted = probabilities.argmax(dim=0).flatten()
        voxels = torch.bincount(predicted, minlength=len(probabilities))
        sums = torch.bincount(predicted, weights=entropy, minlength=len(probabilities))
        balanced = (sums / voxels.clamp(min=1))[1:].mean().item()
        return self.beta(progress) * math.log(min(max(balanced, self.LEAST), 1.0))

    def choose(self, candidates: Candidates) -> list[str]:
        """The scans with the highest scores plus noise; see :class:`common.query.Strategy`."""
        scans = candidates.checked()
        scores = candidates.measure("score")
        noise = np.random.default_rng(candidates.seed).gumbel(size=len(scans))
        noisy = np.array([scores[scan] for scan in scans], dtype=np.float64) + noise
        return [scans[position] for position in np.argsort(-noisy, kind="stable")[: candidates.number]]
