"""Companion losses for unlabelled scans: uncertainty-aware mean teacher, cross pseudo supervision, interpolation.

Each term takes the place of :class:`~common.losses.terms.ConsistencyTerm`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from monai.networks.utils import train_mode
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from common.losses.consistency import probabilities
from common.losses.partial_cross_entropy import PartialCrossEntropyLoss
from common.losses.step import Forward, Step
from common.losses.terms import LossTerm
from common.schedules import Schedule, value

_APART = 2**32
"""Added to the seeds of the stochastic passes, so that none repeats the noise of the teacher's target."""


class UncertaintyAwareConsistencyTerm(LossTerm):
    """Squared distance between student and teacher where the teacher is certain (Yu et al., MICCAI 2019, UA-MT).

    The teacher's uncertainty is the entropy ``-Σ_c μ_c ln μ_c`` of its mean probabilities ``μ`` over ``passes`` passes
    with dropout and noise; voxels count where it is below ``H = threshold · ln C``. The loss is the mean over these
    voxels of all the batch's scans and over the classes, as in the paper's formula. Batch normalisation uses its
    running statistics in these passes; without dropout, the uncertainty comes from the noise alone.

    Args:
        perturb: Maps images and a seed to images with noise, e.g. ``Perturb``.
        threshold: ``H`` as a share of ``ln C``, a number or a schedule; in the paper it rises from 3/4 to 1 in the
            course of the training.
        passes: Number of stochastic passes, ``T`` of the paper.
        name: Name in the log.
        weight: Factor, a number or a schedule of the iteration.

    Raises:
        ValueError: If ``passes`` is below 1; when called, if there is no teacher.
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
        if len(step.teacher) != 1:
            raise ValueError(
                f"{type(self).__name__} needs one prediction of the teacher in its step, got {len(step.teacher)}: "
                "give the trainer one perturbation."
            )
        target = probabilities(step.teacher[0])
        limit = value(self.threshold, step.iteration) * math.log(target.shape[1])
        certain = self.uncertainty(teacher, step.batch["image"], step.iteration) < limit
        squares = (probabilities(step.student) - target).square().mean(dim=1, keepdim=True)
        return (certain * squares).sum() / certain.sum().clamp(min=1)

    @torch.no_grad()
    def uncertainty(self, teacher: Forward, images: torch.Tensor, iteration: int) -> torch.Tensor:
        """Entropy of the mean over the stochastic passes, ``[B, 1, H, W, D]``, from 0 to ln C."""
        mean: torch.Tensor | float = 0.0
        with train_mode(*(layer for layer in teacher.module.modules() if isinstance(layer, _DropoutNd))):
            for number in range(self.passes):
                seen = self.perturb(images, _APART + iteration * self.passes + number)
                mean = mean + probabilities(teacher(seen)) / self.passes
        return -torch.xlogy(torch.as_tensor(mean), mean).sum(dim=1, keepdim=True)


class CrossPseudoSupervisionTerm(LossTerm):
    """Two networks, each of which learns from the other's hard labels (Chen et al., CVPR 2021, CPS).

    The second network starts from other weights and learns from the annotations as the student does. The term is the
    weighted sum of the second network's own supervised terms, plus ``cross_weight`` times the sum of both
    cross-entropies over all scans of the batch, as in the paper.

    Args:
        network: The second network, on the device; the optimiser must have its parameters too.
        supervised: Terms that the second network is trained with as the student is, with their weights.
        cross_weight: Factor of the cross-entropies, a number or a schedule of the iteration.
        name: Name in the log.
        weight: Factor of the whole term; 1 gives both networks the same share.
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
        """Sum of both networks' cross-entropies with the other's labels, from both logits ``[B, C, H, W, D]``."""
        labels = [logits.detach().argmax(dim=1, keepdim=True) for logits in (second, first)]
        return self._loss(first, labels[0]) + self._loss(second, labels[1])


class InterpolationConsistencyTerm(LossTerm):
    """Squared distance between a mixture's prediction and the mixture of predictions (Verma et al., IJCAI 2019, ICT).

    Each unlabelled image is mixed with the next one of its batch, ``λ·u_i + (1 - λ)·u_{i+1}``, with a ``λ`` of its own
    from ``Beta(alpha, alpha)``; the target is the same mixture of the teacher's probabilities on the plain images. The
    unlabelled images are those after the first ``batch_labelled`` ones, by the order of the two streams.

    Args:
        batch_labelled: Number of the batch's first patches, which are not mixed.
        alpha: Parameter of the Beta distribution, above 0; 0.2 in the customary 3D code.
        seed: Seed of the draws of ``λ``.
        name: Name in the log.
        weight: Factor, a number or a schedule of the iteration.

    Raises:
        ValueError: If ``alpha`` is not above 0; when called, if there is no teacher or less than 2 unlabelled scans.
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
        """``λ`` of each of an iteration's mixtures, ``[number]``, from 0 to 1."""
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
        target = _mixed(probabilities(teacher(images)), factors)
        return (probabilities(student(_mixed(images, factors))) - target).square().mean()


def _mixed(samples: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Mixes each sample with the next one and the last with the first; ``factors`` ``[B, 1, …]`` weigh the sample."""
    return torch.lerp(samples.roll(-1, dims=0), samples, factors)


def _given(network: Forward | None, what: str, term: LossTerm) -> Forward:
    if network is None:
        raise ValueError(f"{type(term).__name__} needs the {what} network in its step, got None.")
    return network
