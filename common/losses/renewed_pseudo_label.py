"""Pseudo-labels of trusted scans, renewed in every iteration by the teacher."""

from __future__ import annotations

from collections.abc import Callable

import torch

from common import IGNORE_INDEX
from common.losses.step import Step
from common.losses.terms import LossTerm
from common.schedules import Schedule


class RenewedPseudoLabelTerm(LossTerm):
    """A loss with what the teacher says now of each crop that has a pseudo-label.

    The batch's ``pseudo_label``, made at the last round, only says which scans are trusted: it is 255 throughout in
    others. The teacher sees the crop before its intensities were varied, the student afterwards (weak and strong
    augmentation; FixMatch, Sohn et al., NeurIPS 2020). Labels kept from round to round would hold on to what the
    teacher got wrong then.

    Args:
        loss: called with logits ``[B, C, H, W, D]`` and labels uint8 ``[B, 1, H, W, D]``.
        threshold: voxels whose likeliest class has a lower probability become 255; 0 to 1.
        image: the batch's entry with the crops that the teacher sees, ``[B, channels, H, W, D]``.
        name: under which the term is logged.
        weight: a number, or a schedule of the iteration.

    Raises:
        ValueError: if the threshold is out of its range; when called, if there is no teacher.
    """

    def __init__(
        self,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        *,
        threshold: float = 0.7,
        image: str = "image",
        name: str = "pseudo_label",
        weight: float | Schedule = 1.0,
    ) -> None:
        super().__init__(name=name, weight=weight)
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must lie in 0..1, got {threshold}.")
        self.loss = loss
        self.threshold = threshold
        self.image = image

    def __call__(self, step: Step) -> torch.Tensor:
        return self.loss(step.student, self.labels(step))

    @torch.no_grad()
    def labels(self, step: Step) -> torch.Tensor:
        """Labels uint8 ``[B, 1, H, W, D]``, 255 where nothing is trusted."""
        if step.teacher_network is None:
            raise ValueError("a RenewedPseudoLabelTerm needs a teacher: pass `teacher` to SemiSupervisedTrainer.")
        kept = step.batch["pseudo_label"]
        labels = torch.full_like(kept, IGNORE_INDEX)
        trusted = (kept != IGNORE_INDEX).flatten(1).any(dim=1)
        if trusted.any():
            logits = step.teacher_network(step.batch[self.image][trusted])
            highest, label = logits.float().softmax(dim=1).max(dim=1, keepdim=True)
            labels[trusted] = torch.where(highest < self.threshold, IGNORE_INDEX, label).to(labels.dtype)
        return labels
