"""The voxels that a loss may look at."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Annotated(NamedTuple):
    """Input of a loss over annotated voxels.

    Attributes:
        logits: ``[B, C, …]``, float32, or float64 if they came so.
        target: class by voxel, int64 ``[B, 1, …]``; 0 where nothing is annotated.
        weight: what a voxel counts, ``[B, 1, …]``; 0 where nothing is annotated, otherwise 1 if no weight was given.
    """

    logits: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor

    def one_hot(self) -> torch.Tensor:
        """The target as ``[B, C, …]``, 0 or 1."""
        return torch.zeros_like(self.logits).scatter_(1, self.target, 1.0)


def annotated(
    logits: torch.Tensor, target: torch.Tensor, ignore_index: int, weight: torch.Tensor | None = None
) -> Annotated:
    """Checks a loss's input and brings it to one form.

    Args:
        logits: ``[B, C, …]``, any floating type; C >= 2.
        target: annotation ``[B, 1, …]`` or ``[B, …]``, any integer type.
        ignore_index: the target's value where nothing is annotated.
        weight: of voxels or scans, not negative; broadcastable to the target.

    Raises:
        ValueError: if the shapes do not fit.
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
        raise ValueError(f"target must be of shape {expected}, as the logits are, got {tuple(target.shape)}.")
    known = target != ignore_index
    numbers = logits if logits.dtype == torch.float64 else logits.float()
    counts = known.to(numbers.dtype)
    if weight is not None:
        try:
            counts = counts * weight.to(numbers.dtype).expand(expected)
        except RuntimeError as error:
            raise ValueError(f"weight must be broadcastable to {expected}, got {tuple(weight.shape)}.") from error
    return Annotated(numbers, torch.where(known, target, 0).long(), counts)
