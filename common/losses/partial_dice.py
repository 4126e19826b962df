"""Soft Dice over the annotated voxels, alone and together with cross-entropy."""

from __future__ import annotations

import torch
from torch import nn

from common import IGNORE_INDEX
from common.losses.annotated import annotated
from common.losses.partial_cross_entropy import PartialCrossEntropyLoss


class PartialDiceLoss(nn.Module):
    """``1 - (2ΣPY + ε) / (ΣP² + ΣY² + ε)``, the soft Dice loss of V-Net (Milletari et al., 3DV 2016).

    ``P`` are the softmax probabilities and ``Y`` is the one-hot target. For each class, the sums run over the annotated
    voxels of the whole batch; the loss is the mean over the classes. MONAI's ``DiceLoss`` with ``ignore_index`` gives
    the same values, but takes no weights per scan.

    Args:
        epsilon: Constant ``ε`` in numerator and denominator, above 0.
        ignore_index: Value of the target where nothing is annotated.
        include_background: Whether class 0 counts in the mean.

    Raises:
        ValueError: If ``epsilon`` is not above 0.
    """

    def __init__(
        self, epsilon: float = 1e-5, ignore_index: int = IGNORE_INDEX, include_background: bool = True
    ) -> None:
        super().__init__()
        if not epsilon > 0:
            raise ValueError(f"epsilon must be above 0, got {epsilon}.")
        self.epsilon = epsilon
        self.ignore_index = ignore_index
        self.include_background = include_background

    def forward(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None = None,
        classes: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The loss, 0 to 1; 0, with gradients of 0, if nothing is annotated.

        Args:
            logits: Class scores ``[B, C, …]``.
            target: Annotation ``[B, 1, …]`` or ``[B, …]``, integers.
            weight: Weights of voxels or scans in every sum, not negative, broadcastable to the target.
            classes: Whether each class was annotated, in each scan ``[B, C]`` or in each voxel ``[B, C, …]``; all were
                by default. See :func:`common.losses.merge_unannotated`.
        """
        given = annotated(logits, target, self.ignore_index, weight, classes)
        first = 0 if self.include_background else 1
        probabilities = given.logits.softmax(dim=1)[:, first:]
        truth = given.weight * given.one_hot()[:, first:]
        over = (0, *range(2, logits.ndim))
        overlap = (probabilities * truth).sum(over)
        sizes = (given.weight * probabilities.square()).sum(over) + truth.sum(over)
        return 1 - given.class_mean((2 * overlap + self.epsilon) / (sizes + self.epsilon))


class PartialDiceCELoss(nn.Module):
    """A weighted sum of soft Dice and cross-entropy over annotated voxels.

    Args:
        dice_weight: Factor of :class:`PartialDiceLoss`.
        ce_weight: Factor of :class:`PartialCrossEntropyLoss`.
        ignore_index: Value of the target where nothing is annotated.
        include_background: Whether class 0 counts in the mean Dice loss.

    Raises:
        ValueError: If a weight is negative.
    """

    def __init__(
        self,
        dice_weight: float = 0.5,
        ce_weight: float = 0.5,
        ignore_index: int = IGNORE_INDEX,
        include_background: bool = True,
    ) -> None:
        super().__init__()
        if dice_weight < 0 or ce_weight < 0:
            raise ValueError(f"weights must not be negative, got dice_weight {dice_weight} and ce_weight {ce_weight}.")
        self.dice_weight = dice_weight
        self.ce_weight = ce_weight
        self.dice = PartialDiceLoss(ignore_index=ignore_index, include_background=include_background)
        self.cross_entropy = PartialCrossEntropyLoss(ignore_index=ignore_index)

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
            weight: Weights of voxels or scans, not negative, broadcastable to the target.
            classes: Whether each class was annotated, in each scan ``[B, C]`` or in each voxel ``[B, C, …]``; all were
                by default. See :func:`common.losses.merge_unannotated`.
        """
        dice = self.dice(logits, target, weight, classes)
        return self.dice_weight * dice + self.ce_weight * self.cross_entropy(logits, target, weight, classes)
