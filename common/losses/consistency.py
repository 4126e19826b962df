"""Disagreement of student and teacher."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import l1_loss, mse_loss

_DISTANCES = {"mae": l1_loss, "mse": mse_loss}


class ConsistencyLoss(nn.Module):
    """The mean distance of two predictions' softmax probabilities, over all voxels and classes.

    Args:
        kind: ``mae``, the absolute difference of FM-ABS's ``L_c``, or ``mse``, the squared one of the mean
            teacher (Tarvainen and Valpola, NeurIPS 2017).

    Raises:
        ValueError: for another kind.
    """

    def __init__(self, kind: str = "mae") -> None:
        super().__init__()
        if kind not in _DISTANCES:
            raise ValueError(f"kind must be one of {', '.join(_DISTANCES)}, got {kind!r}.")
        self.kind = kind

    def forward(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        """The loss, 0 to 1; no gradient goes to the teacher.

        Args:
            student: logits ``[B, C, …]``.
            teacher: logits of the same shape.

        Raises:
            ValueError: if the shapes differ.
        """
        if student.shape != teacher.shape:
            raise ValueError(
                f"teacher must be of the student's shape {tuple(student.shape)}, got {tuple(teacher.shape)}."
            )
        return _DISTANCES[self.kind](_probabilities(student), _probabilities(teacher.detach()))


def _probabilities(logits: torch.Tensor) -> torch.Tensor:
    return (logits if logits.dtype == torch.float64 else logits.float()).softmax(dim=1)
