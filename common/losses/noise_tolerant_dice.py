"""A Dice loss that is misled less by errors in the labels."""

from __future__ import annotations

import torch
from torch import nn

from common import IGNORE_INDEX
from common.losses.annotated import annotated


class NoiseTolerantDiceLoss(nn.Module):
    """``Σ|P - Y|^γ / (ΣP² + ΣY² + ε)``, FM-ABS's ``L_sam``, after COPLE-Net (Wang et al., IEEE TMI 39(8), 2020).

    ``P`` are the softmax probabilities and ``Y`` is the one-hot target. For each class, the sums run over the annotated
    voxels of the whole batch; the loss is the mean over the classes. ``γ = 2`` gives the Dice loss with squared sums;
    ``γ = 1`` resembles the mean absolute error, which is robust to noise.

    By default, the mean leaves out a class of which the batch's target has no voxel: for ``γ < 2`` its ratio *grows* as
    its probabilities shrink (``ΣP^1.5 / ΣP²``), which would draw the absent class into the prediction.

    Args:
        gamma: Exponent ``γ``, 1 to 2.
        epsilon: Constant ``ε`` in the denominator, above 0.
        ignore_index: Value of the target where nothing is annotated.
        include_background: Whether class 0 counts in the mean.
        include_absent: Whether a class counts of which the batch's target has no voxel.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> logits = torch.tensor([0.0, 0.0]).reshape(1, 2, 1, 1, 1)
        >>> NoiseTolerantDiceLoss(gamma=2.0)(logits, torch.ones(1, 1, 1, 1, 1, dtype=torch.uint8)).item()
        0.199...
    """

    def __init__(
        self,
        gamma: float = 1.5,
        epsilon: float = 1e-5,
        ignore_index: int = IGNORE_INDEX,
        include_background: bool = True,
        include_absent: bool = False,
    ) -> None:
        super().__init__()
        if not 1 <= gamma <= 2:
            raise ValueError(f"gamma must lie in 1..2, got {gamma}.")
        if not epsilon > 0:
            raise ValueError(f"epsilon must be above 0, got {epsilon}.")
        self.gamma = gamma
        self.epsilon = epsilon
        self.ignore_index = ignore_index
        self.include_background = include_background
        self.include_absent = include_absent

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
            weight: Weights of voxels or scans in every sum, not negative, broadcastable to the target.
            classes: Whether each class was annotated, in each scan ``[B, C]`` or in each voxel ``[B, C, …]``; all were
                by default. See :func:`common.losses.merge_unannotated`.
        """
        given = annotated(logits, target, self.ignore_index, weight, classes)
        first = 0 if self.include_background else 1
        probabilities = given.logits.softmax(dim=1)[:, first:]
        truth = given.one_hot()[:, first:]
        over = (0, *range(2, logits.ndim))
        difference = (given.weight * (probabilities - truth).abs().pow(self.gamma)).sum(over)
        size = (given.weight * truth).sum(over)
        ratios = difference / ((given.weight * probabilities.square()).sum(over) + size + self.epsilon)
        if self.include_absent:
            return given.class_mean(ratios)
        present = (size > 0).to(ratios.dtype)
        return (ratios * present).sum() / present.sum().clamp(min=1)
