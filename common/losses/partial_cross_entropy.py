"""Cross-entropy over the annotated voxels."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from common import IGNORE_INDEX
from common.losses.annotated import annotated


class PartialCrossEntropyLoss(nn.Module):
    """The mean cross-entropy of the annotated voxels, FM-ABS's ``L_cross``.

    Args:
        ignore_index: Value of the target where nothing is annotated.

    Example:
        >>> logits = torch.zeros(1, 2, 1, 1, 2)
        >>> target = torch.tensor([1, 255], dtype=torch.uint8).reshape(1, 1, 1, 1, 2)
        >>> PartialCrossEntropyLoss()(logits, target)
        tensor(0.6931)
    """

    def __init__(self, ignore_index: int = IGNORE_INDEX) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
        """The loss; 0, with gradients of 0, if nothing is annotated.

        Args:
            logits: Class scores ``[B, C, …]``.
            target: Annotation ``[B, 1, …]`` or ``[B, …]``, integers.
            weight: Weights of voxels or scans in the mean, not negative, broadcastable to the target.
        """
        given = annotated(logits, target, self.ignore_index, weight)
        voxels = cross_entropy(given.logits, given.target.squeeze(1), reduction="none")
        total = given.weight.sum()
        return (given.weight.squeeze(1) * voxels).sum() / torch.where(total > 0, total, 1)
