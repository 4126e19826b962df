"""Consistency loss: how far the predictions of student and teacher are apart."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import l1_loss, mse_loss

_DISTANCES = {"mae": l1_loss, "mse": mse_loss}


class ConsistencyLoss(nn.Module):
    """The mean distance between the softmax probabilities of two predictions, over all voxels and classes.

    Args:
        kind: Distance: ``mae``, the absolute difference of FM-ABS's ``L_c``, or ``mse``, the squared difference of the
            mean teacher (Tarvainen and Valpola, NeurIPS 2017).

    Raises:
        ValueError: If the kind is unknown.
    """

    def __init__(self, kind: str = "mae") -> None:
        super().__init__()
        if kind not in _DISTANCES:
            raise ValueError(f"kind must be one of {', '.join(_DISTANCES)}, got {kind!r}.")
        self.kind = kind

    def forward(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """The loss, 0 to 1; no gradient goes to the teacher.

        Args:
            student: Logits of the student ``[B, C, …]``.
            teacher: Logits of the teacher, of the same shape.

        Raises:
            ValueError: If the shapes differ.
        """
        if student.shape != teacher.shape:
            raise ValueError(
                f"teacher must have the student's shape {tuple(student.shape)}, got {tuple(teacher.shape)}."
            )
        return _DISTANCES[self.kind](probabilities(student), probabilities(teacher.detach()))


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Softmax probabilities of logits ``[B, C, …]``, at least in float32."""
    return (logits if logits.dtype == torch.float64 else logits.float()).softmax(dim=1)
