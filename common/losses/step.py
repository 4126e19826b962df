"""What one training iteration hands to its loss terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Step:
    """One iteration's input and predictions.

    Attributes:
        batch: what the data loader gave, on the device; ``image`` is ``[B, channels, H, W, D]``, annotations are
            uint8 ``[B, 1, H, W, D]`` with 255 where nothing is annotated.
        student: logits of the student on ``image``, ``[B, C, H, W, D]``.
        teacher: logits of the teacher on the perturbed ``image``, detached; ``None`` if no term asks for them.
        iteration: number of completed iterations, 0 in the first one.
    """

    batch: Mapping[str, Any]
    student: torch.Tensor
    teacher: torch.Tensor | None
    iteration: int
