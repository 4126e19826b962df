"""Loss terms: training minimises their weighted sum, and a method is a list of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch

from common.losses.step import Step
from common.schedules import Schedule, value

CLASSES = "_classes"
"""End of the name of a batch's entry that tells which classes the entry of annotations before it knows."""


class LossTerm(ABC):
    """One weighted term of the training loss.

    Args:
        name: Name in the log, of the unweighted value.
        weight: Factor, a number or a schedule of the iteration.

    Attributes:
        needs_teacher: Whether the term reads ``Step.teacher``.
    """

    needs_teacher = False

    def __init__(self, *, name: str, weight: float | Schedule = 1.0) -> None:
        self.name = name
        self.weight = weight

    def weight_at(self, iteration: int) -> float:
        """The term's weight at an iteration; a term with weight 0 is not computed."""
        return value(self.weight, iteration)

    @abstractmethod
    def __call__(self, step: Step) -> torch.Tensor:
        """The unweighted term: a scalar with gradients to ``step.student``."""


class AnnotationTerm(LossTerm):
    """A loss between the student's logits and the batch's annotations or pseudo-labels, over the annotated voxels.

    FM-ABS's ``L_cross`` (``key="annotation"``) and ``L_sam`` (``key="pseudo_label"``) are such terms.

    If the batch has an entry ``KEY_classes``, ``[B, C]`` or ``[B, C, H, W, D]``, it tells which classes were annotated,
    and is passed to the loss as ``classes``. Without it, all were.

    Args:
        loss: Loss of logits ``[B, C, H, W, D]`` and annotations uint8 ``[B, 1, H, W, D]``.
        key: Entry of the batch that holds the annotations.
        name: Name in the log; the key by default.
        weight: Factor, a number or a schedule of the iteration.
        scan_weight: Entry ``[B]`` of the batch with a weight for each scan, not negative; passed to the loss as
            ``weight``, ``[B, 1, 1, 1, 1]``. The losses are weighted means: only the ratios within a batch matter.
    """

    def __init__(
        self,
        loss: Callable[..., torch.Tensor],
        *,
        key: str,
        name: str | None = None,
        weight: float | Schedule = 1.0,
        scan_weight: str | None = None,
    ) -> None:
        super().__init__(name=name or key, weight=weight)
        self.loss = loss
        self.key = key
        self.scan_weight = scan_weight

    def __call__(self, step: Step) -> torch.Tensor:
        given = {}
        if (classes := step.batch.get(self.key + CLASSES)) is not None:
            given["classes"] = classes
        if self.scan_weight is not None:
            given["weight"] = self._weights(step, self.scan_weight)
        return self.loss(step.student, step.batch[self.key], **given)

    @staticmethod
    def _weights(step: Step, scan_weight: str) -> torch.Tensor:
        weights = step.batch[scan_weight]
        if tuple(weights.shape) != step.student.shape[:1]:
            raise ValueError(
                f"{scan_weight} must hold one weight for each of the batch's {len(step.student)} scans, "
                f"got shape {tuple(weights.shape)}."
            )
        return weights.reshape(-1, *(1,) * (step.student.ndim - 1))


class ConsistencyTerm(LossTerm):
    """A loss between the predictions of student and teacher over all voxels (FM-ABS's ``L_c``).

    With several predictions of the teacher, one for each type of perturbation ``ξ_j``, it is the mean of their losses.

    Args:
        loss: Loss of the logits of student and teacher, both ``[B, C, H, W, D]``.
        name: Name in the log.
        weight: Factor, a number or a schedule of the iteration.
    """

    needs_teacher = True

    def __init__(
        self,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        *,
        name: str = "consistency",
        weight: float | Schedule = 1.0,
    ) -> None:
        super().__init__(name=name, weight=weight)
        self.loss = loss

    def __call__(self, step: Step) -> torch.Tensor:
        if not step.teacher:
            raise ValueError("a ConsistencyTerm needs a teacher: pass `teacher` to SemiSupervisedTrainer.")
        return torch.stack([self.loss(step.student, teacher) for teacher in step.teacher]).mean()
