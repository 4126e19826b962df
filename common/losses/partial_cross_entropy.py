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
        per_scan: Whether each scan's mean counts equally, as in the public code of GM-ABS (IEEE TMI 2025), in place of
            each voxel. Scans of which the batch has no annotated voxel do not count.
        ignore_index: Value of the target where nothing is annotated.

    Example:
        >>> logits = torch.zeros(1, 2, 1, 1, 2)
        >>> target = torch.tensor([1, 255], dtype=torch.uint8).reshape(1, 1, 1, 1, 2)
        >>> PartialCrossEntropyLoss()(logits, target)
        tensor(0.6931)
    """

    def __init__(self, *, per_scan: bool = False, ignore_index: int = IGNORE_INDEX) -> None:
        super().__init__()
        self.per_scan = per_scan
        self.ignore_index = ignore_index

    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None = None,
        classes: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The loss; 0, with gradients of 0, if nothing is annotated.

        Args:
            logits: Class scores ``[B, C, …]``.
            target: Annotation ``[B, 1, …]`` or ``[B, …]``, integers.
            weight: Weights of voxels or scans in the mean, not negative, broadcastable to the target.
            classes: Whether each class was annotated, in each scan ``[B, C]`` or in each voxel ``[B, C, …]``; all were
                by default. See :func:`common.losses.merge_unannotated`.
        """
        given = annotated(logits, target, self.ignore_index, weight, classes)
        voxels = cross_entropy(given.logits, given.target.squeeze(1), reduction="none")
        weight = given.weight.squeeze(1)
        over = tuple(range(1 if self.per_scan else 0, weight.ndim))
        total = weight.sum(over)
        known = total > 0
        means = (weight * voxels).sum(over) / torch.where(known, total, 1)
        return means.sum() / known.sum().clamp(min=1)
