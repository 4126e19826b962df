"""What else than a mean teacher may learn from the unlabelled scans.

Each is a term in the place of :class:`~common.losses.terms.ConsistencyTerm`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from common.losses.partial_cross_entropy import PartialCrossEntropyLoss
from common.losses.step import Forward, Step
from common.losses.terms import LossTerm
from common.schedules import Schedule, value

_APART = 2**32
"""Added to the numbers of the stochastic passes, so that none repeats the noise of an iteration."""


class UncertaintyAwareConsistencyTerm(LossTerm):
    """Squared distance of student and teacher where the teacher is certain (Yu et al., MICCAI 2019, UA-MT).

    The teacher's uncertainty is the entropy ``-Σ_c μ_c ln μ_c`` of its mean probabilities ``μ`` over ``passes`` passes
    with dropout and noise; voxels count where it is below ``H = threshold · ln C``. The mean is over these voxels and
    the classes, of all scans of the batch, as in the paper's formula. Batch normalisation keeps its averaged
    statistics in these passes; a teacher without dropout is uncertain by the noise alone.

    Args:
        perturb: the noise: maps images and a number that seeds it to perturbed images, e.g. ``Perturb``.
        threshold: ``H`` as a share of ``ln C``, or a schedule of it; in the paper from 3/4 up to 1 in the course of the
            training.
        passes: ``T`` of the paper.
        name: under which the term is logged.
        weight: a number, or a schedule of the iteration.

    Raises:
        ValueError: if ``passes`` is below 1; when called, if there is no teacher.
    """

    needs_teacher = True

    def __init__(
        self,
        perturb: Callable[[torch.Tensor, int], torch.Tensor],
        *,
        threshold: float | Schedule,
        passes: int = 8,
        name: str = "certain_consistency",
        weight: float | Schedule = 1.0,
    ) -> None:
        super().__init__(name=name, weight=weight)
        if passes < 1:
            raise ValueError(f"passes must be at least 1, got {passes}.")
        self.perturb = perturb
        self.threshold = threshold
        self.passes = passes

    def __call__(self, step: Step) -> torch.Tensor:
        teacher = _given(step.teacher_network, "teacher", self)
        if step.teacher is None:
            raise ValueError(f"{type(self).__name__} needs the teacher's prediction in its step, got None.")
        target = _probabilities(step.teacher)
        limit = value(self.threshold, step.iteration) * math.log(target.shape[1])
        certain = self.uncertainty(teacher, step.batch["image"], step.iteration) < limit
        squares = (_probabilities(step.student) - target).square().mean(dim=1, keepdim=True)
        return (certain * squares).sum() / certain.sum().clamp(min=1)

    @torch.no_grad()
    def uncertainty(self, teacher: Forward, images: torch.Tensor, iteration: int) -> torch.Tensor:
        """The entropy of the mean over the stochastic passes, ``[B, 1, H, W, D]`` in 0..ln C."""
        mean: torch.Tensor | float = 0.0
        with _dropping(teacher.module):
            for number in range(self.passes):
                seen = self.perturb(images, _APART + iteration * self.passes + number)
                mean = mean + _probabilities(teacher(seen)) / self.passes
        return -torch.xlogy(torch.as_tensor(mean), mean).sum(dim=1, keepdim=True)


class CrossPseudoSupervisionTerm(LossTerm):
    """Two networks, each of which learns the other's hard labels (Chen et al., CVPR 2021, CPS).

    The second network starts from other weights, and learns from labels as the student does. The term is the second
    network's own supervised terms, plus ``cross_weight`` times the sum of both cross-entropies, over all scans of the
    batch as in the paper.

    Args:
        network: the second one, on the device; its parameters belong to the optimiser's.
        supervised: terms from which the second network learns what the student learns from them, with their weights.
        cross_weight: of the cross-supervision, a number or a schedule of the iteration.
        name: under which the term is logged.
        weight: of the whole; 1 gives both networks the same share.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        supervised: Sequence[LossTerm],
        cross_weight: float | Schedule,
        name: str = "cross_pseudo_supervision",
        weight: float | Schedule = 1.0,
    ) -> None:
        super().__init__(name=name, weight=weight)
        self.network = network
        self.supervised = list(supervised)
        self.cross_weight = cross_weight
        self._loss = PartialCrossEntropyLoss()

    def __call__(self, step: Step) -> torch.Tensor:
        self.network.train()
        second = _given(step.network, "student", self).run(step.batch["image"], self.network)
        total = value(self.cross_weight, step.iteration) * self.cross(step.student, second)
        for term in self.supervised:
            if weight := term.weight_at(step.iteration):
                total = total + weight * term(replace(step, student=second))
        return total

    def cross(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """The sum of both networks' cross-entropies with the other's labels, of logits ``[B, C, H, W, D]``."""
        labels = [logits.detach().argmax(dim=1, keepdim=True) for logits in (second, first)]
        return self._loss(first, labels[0]) + self._loss(second, labels[1])


class InterpolationConsistencyTerm(LossTerm):
    """Squared distance of the prediction of a mixture and the mixture of predictions (Verma et al., IJCAI 2019, ICT).

    Each unlabelled image is mixed with the next one of its batch, ``λ·u_i + (1 - λ)·u_{i+1}``, with a ``λ`` of its own
    from ``Beta(alpha, alpha)``; the target is the same mixture of the teacher's probabilities on the plain images. The
    unlabelled images are those after the first ``batch_labelled`` ones, by the order of the two streams.

    Args:
        batch_labelled: number of the batch's first scans that are not mixed.
        alpha: of the Beta distribution; 0.2 in the customary 3D code.
        seed: of the draws; give each rank of a distributed run its own.
        name: under which the term is logged.
        weight: a number, or a schedule of the iteration.

    Raises:
        ValueError: if ``alpha`` is not above 0; when called, if there is no teacher or less than two unlabelled scans.
    """

    def __init__(
        self,
        *,
        batch_labelled: int,
        alpha: float = 0.2,
        seed: int = 0,
        name: str = "interpolation_consistency",
        weight: float | Schedule = 1.0,
    ) -> None:
        super().__init__(name=name, weight=weight)
        if not alpha > 0:
            raise ValueError(f"alpha must be above 0, got {alpha}.")
        self.batch_labelled = batch_labelled
        self.alpha = alpha
        self.seed = seed

    def draw(self, number: int, iteration: int) -> torch.Tensor:
        """``λ`` of each of an iteration's mixtures, ``[number]`` in 0..1."""
        generator = np.random.default_rng([self.seed, iteration])
        return torch.from_numpy(generator.beta(self.alpha, self.alpha, size=number)).float()

    def __call__(self, step: Step) -> torch.Tensor:
        student = _given(step.network, "student", self)
        teacher = _given(step.teacher_network, "teacher", self)
        images = step.batch["image"][self.batch_labelled :]
        if len(images) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 unlabelled scans in a batch to mix, got {len(images)}."
            )
        factors = self.draw(len(images), step.iteration).to(images).reshape(-1, *(1,) * (images.ndim - 1))
        target = _mixed(_probabilities(teacher(images)), factors)
        return (_probabilities(student(_mixed(images, factors))) - target).square().mean()


def _mixed(samples: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Each sample with the next one, the last with the first; ``factors`` ``[B, 1, …]`` of the sample itself."""
    return torch.lerp(samples.roll(-1, dims=0), samples, factors)


def _probabilities(logits: torch.Tensor) -> torch.Tensor:
    return (logits if logits.dtype == torch.float64 else logits.float()).softmax(dim=1)


def _given(network: Forward | None, what: str, term: LossTerm) -> Forward:
    if network is None:
        raise ValueError(f"{type(term).__name__} needs the {what} network in its step, got None.")
    return network


@contextmanager
def _dropping(network: nn.Module) -> Iterator[None]:
    """Dropout at work in a network that is otherwise as it was."""
    layers = [layer for layer in network.modules() if isinstance(layer, _DropoutNd) and not layer.training]
    for layer in layers:
        layer.train()
    try:
        yield
    finally:
        for layer in layers:
            layer.eval()
