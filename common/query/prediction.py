"""What a model predicts for one scan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from common.query.features import pooled_features


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for one scan.

    Attributes:
        probabilities: ``[C, H, W, D]``, summing to 1 over C; class 0 is the background.
        features: The model's features ``[F, h, w, d]`` of the same field of view; None where they were not kept.
    """

    probabilities: Tensor
    features: Tensor | None = None

    @cached_property
    def foreground(self) -> Tensor:
        """Voxels whose likeliest class is not the background, bool ``[H, W, D]``."""
        return self.probabilities.argmax(dim=0) != 0

    @cached_property
    def pooled(self) -> Tensor:
        """The features as one vector ``[2F]``; see :func:`common.query.pooled_features`.

        Raises:
            ValueError: If there are no features.
        """
        if self.features is None:
            raise ValueError("the prediction must have features to pool, got none: PoolInference(features=True).")
        return pooled_features(self.features, self.foreground)


def check_probabilities(probabilities: Tensor) -> Tensor:
    """Gives the probabilities in float32.

    Raises:
        ValueError: If they are not ``[C, H, W, D]`` with C >= 2.
    """
    if probabilities.ndim != 4 or probabilities.shape[0] < 2:
        raise ValueError(
            f"probabilities must be [C, H, W, D] with at least 2 classes, got {tuple(probabilities.shape)}."
        )
    return probabilities.float()
