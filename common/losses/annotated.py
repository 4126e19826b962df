"""The common form of the input of all losses over annotated voxels."""

from __future__ import annotations

from typing import NamedTuple

import torch

from common.losses.marginal import annotated_classes, merge_unannotated


class Annotated(NamedTuple):
    """Checked input of a loss over annotated voxels.

    Attributes:
        logits: Class scores ``[B, C, …]``, float64 if given as such, else float32; the background's are those of all
            classes that were not annotated, too.
        target: Class of each voxel, int64 ``[B, 1, …]``; 0 where nothing is annotated.
        weight: Weight of each voxel, ``[B, 1, …]``; 0 where nothing is annotated, elsewhere 1 unless given.
        told: Classes of which the batch tells something, bool ``[C]``; None if it tells of all.
    """

    logits: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor
    told: torch.Tensor | None = None

    def one_hot(self) -> torch.Tensor:
        """The target as zeros and ones ``[B, C, …]``."""
        return torch.zeros_like(self.logits).scatter_(1, self.target, 1.0)

    def class_mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean of one value per class, ``[C]`` or ``[C - 1]`` without the background, over the classes told of."""
        return values.mean() if self.told is None else values[self.told[-len(values) :]].mean()


def annotated(
    logits: torch.Tensor,
    target: torch.Tensor,
    ignore_index: int,
    weight: torch.Tensor | None = None,
    classes: torch.Tensor | None = None,
) -> Annotated:
    """Checks a loss's input and converts it to the form that all losses compute with.

    Args:
        logits: Class scores ``[B, C, …]``, any floating type, at least 2 classes.
        target: Annotation ``[B, 1, …]`` or ``[B, …]``, any integer type.
        ignore_index: Value of the target where nothing is annotated.
        weight: Weights of voxels or scans, not negative, broadcastable to the target.
        classes: Whether each class was annotated, in each scan ``[B, C]`` or in each voxel ``[B, C, …]``; by default
            all were. See :func:`common.losses.merge_unannotated`.

    Raises:
        ValueError: If the shapes do not fit each other.
    """
    if logits.ndim < 3 or logits.shape[1] < 2 or not logits.is_floating_point():
        raise ValueError(
            f"logits must be floating point [B, C, ...] with at least 2 classes, "
            f"got {logits.dtype} of shape {tuple(logits.shape)}."
        )
    expected = (logits.shape[0], 1, *logits.shape[2:])
    if target.ndim == logits.ndim - 1:
        target = target.unsqueeze(1)
        if weight is not None and weight.ndim == logits.ndim - 1:
            weight = weight.unsqueeze(1)
    if tuple(target.shape) != expected:
        raise ValueError(f"target must be of shape {expected} to fit the logits, got {tuple(target.shape)}.")
    known = target != ignore_index
    numbers = logits if logits.dtype == torch.float64 else logits.float()
    counts = known.to(numbers.dtype)
    if weight is not None:
        try:
            counts = counts * weight.to(numbers.dtype).expand(expected)
        except RuntimeError as error:
            raise ValueError(f"weight must be broadcastable to {expected}, got {tuple(weight.shape)}.") from error
    told = None
    if classes is not None:
        told = annotated_classes(numbers, classes, known)
        numbers = merge_unannotated(numbers, classes)
    return Annotated(numbers, torch.where(known, target, 0).long(), counts, told)
