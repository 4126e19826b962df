"""The input and predictions of one training iteration, from which its loss terms are computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Forward:
    """A network as the engine runs it: maps images ``[B, channels, H, W, D]`` to logits ``[B, C, H, W, D]``.

    Attributes:
        module: The network.
        run: The engine's forward pass of any network, with its inferer, memory format and precision.
    """

    module: nn.Module
    run: Callable[[torch.Tensor, Callable[..., Any]], torch.Tensor]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return self.run(images, self.module)


@dataclass(frozen=True)
class Step:
    """Input and predictions of one iteration.

    Attributes:
        batch: The tensors of the data loader's batch, on the device; ``image`` is ``[B, channels, H, W, D]``,
            annotations are uint8 ``[B, 1, H, W, D]`` with 255 where nothing is annotated. With several processes it is
            the batch of all of them, and so are the predictions.
        student: Logits of the student on ``image``, ``[B, C, H, W, D]``.
        teacher: Logits of the teacher, detached: one prediction for each perturbation of ``image``, in order, or one
            for the image itself; empty if no term asks for them.
        iteration: Number of completed iterations, 0 in the first one.
        network: The student, for further passes with gradients.
        teacher_network: The teacher, for further passes without gradients; None if there is no teacher.
    """

    batch: Mapping[str, Any]
    student: torch.Tensor
    teacher: Sequence[torch.Tensor]
    iteration: int
    network: Forward | None = None
    teacher_network: Forward | None = None
