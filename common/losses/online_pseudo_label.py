"""Pseudo-labels that a frozen network makes in every iteration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from common import IGNORE_INDEX
from common.losses.step import Step
from common.losses.terms import LossTerm
from common.schedules import Schedule


class OnlinePseudoLabelTerm(LossTerm):
    """A loss between the student's logits and the labels that a frozen network gives the same unlabelled crops.

    The published code of SFR (Li et al., TMI 2025) trains so. ``AnnotationTerm(key="pseudo_label")`` achieves the same
    at a fraction of the cost: its pseudo-labels are made once for each whole scan, from more context than a crop.

    Args:
        network: Maps images ``[B, channels, H, W, D]`` to class scores ``[B, C, H, W, D]``; the class with the largest
            score is the label. A module is frozen, set to evaluation mode and moved to ``device``.
        loss: Loss of logits ``[B, C, H, W, D]`` and labels uint8 ``[B, 1, H, W, D]``.
        batch_labelled: Number of the batch's first patches, which get no pseudo-label, by the order of the two streams.
        device: Device to run the network on; by default the network stays where it is.
        name: Name in the log.
        weight: Factor, a number or a schedule of the iteration.

    Raises:
        ValueError: When called, if the network's scores do not have the crop's size.
    """

    def __init__(
        self,
        network: Callable[[torch.Tensor], torch.Tensor],
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        *,
        batch_labelled: int,
        device: torch.device | str | None = None,
        name: str = "pseudo_label",
        weight: float | Schedule = 1.0,
    ) -> None:
        super().__init__(name=name, weight=weight)
        if isinstance(network, nn.Module):
            network.requires_grad_(False).eval()
            if device is not None:
                network.to(device)
        self.network = network
        self.loss = loss
        self.batch_labelled = batch_labelled
        self._made: tuple[Mapping[str, Any], torch.Tensor] | None = None

    def __call__(self, step: Step) -> torch.Tensor:
        labels = self.labels(step)
        if labels.shape[2:] != step.student.shape[2:]:
            raise ValueError(
                f"network must give scores of the crop's size {tuple(step.student.shape[2:])}, "
                f"got {tuple(labels.shape[2:])}."
            )
        return self.loss(step.student, labels)

    @torch.no_grad()
    def labels(self, step: Step) -> torch.Tensor:
        """Labels uint8 ``[B, 1, H, W, D]``, 255 in labelled scans; computed once per batch, even if asked for again."""
        if self._made is None or self._made[0] is not step.batch:
            images = step.batch["image"]
            unlabelled = images[self.batch_labelled :]
            run = step.network.run if step.network is not None else _plainly
            made = run(unlabelled, self.network).argmax(dim=1, keepdim=True).to(torch.uint8)
            none = made.new_full((len(images) - len(unlabelled), *made.shape[1:]), IGNORE_INDEX)
            self._made = step.batch, torch.cat([none, made])
        return self._made[1]


def _plainly(images: torch.Tensor, network: Callable[..., torch.Tensor]) -> torch.Tensor:
    return network(images)
