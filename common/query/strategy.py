"""What a query strategy is, and the choice of the best-scored scans."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch


class Strategy(Protocol):
    """Decides which scans of the pool to have annotated. It sees predictions, never labels.

    Attributes:
        name: under which the ledger records the strategy.
        needs_features: whether the choice looks at features; the others take no notice of them.
    """

    name: str
    needs_features: bool

    def score(self, probabilities: torch.Tensor, *, progress: float) -> float:
        """How much a scan's annotation is wanted.

        Args:
            probabilities: of one scan, ``[C, H, W, D]``, summing to 1 over C.
            progress: share of the training that is over, 0 to 1.

        Returns:
            A finite number, higher for scans to ask for first.
        """

    def choose(
        self,
        scores: Mapping[str, float],
        number: int,
        *,
        seed: int,
        features: Mapping[str, torch.Tensor] | None = None,
        known: Sequence[torch.Tensor] = (),
    ) -> list[str]:
        """The ``number`` scans to ask for, first wanted first.

        Args:
            scores: by scan; their order does not matter.
            number: 0 to the number of scans.
            seed: of the choice, if it has chance in it.
            features: by scan, each ``[F]``; see :func:`common.query.one_shot.pooled_features`.
            known: features of the labelled scans, each ``[F]``.

        Raises:
            ValueError: if there are fewer scans than asked for, a score is not finite, or features are needed and
                not all there.
        """


class BestScored:
    """The part of a strategy that chooses the scans with the highest scores, by name among equals."""

    needs_features = False

    def choose(
        self,
        scores: Mapping[str, float],
        number: int,
        *,
        seed: int,
        features: Mapping[str, torch.Tensor] | None = None,
        known: Sequence[torch.Tensor] = (),
    ) -> list[str]:
        """The ``number`` scans with the highest scores; see :class:`Strategy`."""
        return sorted(check_choice(scores, number), key=lambda scan: (-scores[scan], scan))[:number]


def check_choice(scores: Mapping[str, float], number: int) -> list[str]:
    """The scans in order of their names.

    Raises:
        ValueError: if there are fewer scans than asked for, or a score is not finite.
    """
    if not 0 <= number <= len(scores):
        raise ValueError(f"number of scans to choose must lie in 0..{len(scores)} (the scans scored), got {number}.")
    bad = [scan for scan, score in scores.items() if not math.isfinite(score)]
    if bad:
        raise ValueError(f"scores must be finite, but those of {', '.join(sorted(bad))} are not.")
    return sorted(scores)


def check_probabilities(probabilities: torch.Tensor) -> torch.Tensor:
    """The probabilities in float32.

    Raises:
        ValueError: if they are not ``[C, H, W, D]`` with C >= 2.
    """
    if probabilities.ndim != 4 or probabilities.shape[0] < 2:
        raise ValueError(
            f"probabilities must be [C, H, W, D] with at least 2 classes, got {tuple(probabilities.shape)}."
        )
    return probabilities.float()
