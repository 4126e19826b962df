"""The training engine of every method: a student, an optional teacher, and a sum of loss terms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import torch
from ignite.engine import Events
from ignite.handlers import EMAHandler
from monai.data import MetaTensor
from monai.engines import Trainer
from monai.engines.utils import IterationEvents
from monai.inferers import Inferer, SimpleInferer
from torch import nn
from torch.optim import Optimizer

from common.engines.memory_format import channels_last
from common.engines.precision import PRECISIONS, autocast
from common.engines.shared_batch import own_part, whole
from common.losses.step import Forward, Step
from common.losses.terms import LossTerm


def mean_teacher(network: nn.Module, alpha: float = 0.99) -> EMAHandler:
    """A teacher whose weights are the exponential moving average of a student's (FM-ABS, MICCAI 2024).

    After each iteration ``t``, the teacher's weights and batch-norm statistics become
    ``θ̃_t = α θ̃_{t-1} + (1 - α) θ_t``. :class:`SemiSupervisedTrainer` warms the average up, since otherwise the
    untrained weights would stay in the teacher for hundreds of iterations.

    Args:
        network: The student, on its device.
        alpha: ``α``, between 0 and 1: the share of the former average that is kept in each iteration.

    Raises:
        ValueError: If ``alpha`` does not lie between 0 and 1.

    Example:
        >>> mean_teacher(nn.Linear(1, 1), alpha=0.99).momentum
        0.01
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}.")
    return EMAHandler(network, momentum=round(1 - alpha, 12), handle_buffers="update")


Perturbation: TypeAlias = Callable[[torch.Tensor, int], torch.Tensor]


class SemiSupervisedTrainer(Trainer):
    """Trains a student on the weighted sum of its loss terms, beside a teacher that is its moving average.

    In an iteration, the student predicts the batch's images, and the teacher the perturbed images if a term of weight
    other than 0 needs them; the terms are added up; the optimiser makes a step; the teacher is updated. FM-ABS, mean
    teacher and supervised training differ by ``terms`` alone. ``engine.state.output`` is a list of one
    dictionary, as MONAI's handlers expect it, with ``loss`` and each term's unweighted value under its name.

    Several processes share every batch out, and train as one process does (:mod:`common.engines.shared_batch`): the
    loader gives each its part, ``mix``, ``perturb`` and ``terms`` see the whole batch, and each network runs on a part.

    Args:
        device: Device on which to train.
        max_iterations: Number of iterations after which training ends.
        train_data_loader: An endless source of batches ``{"image": [B, channels, H, W, D], …}``.
        network: The student, on the device.
        optimizer: Optimiser of the student's parameters.
        terms: The loss terms, each with a name of its own.
        teacher: The student's moving average, see :func:`mean_teacher`; None to train without a teacher.
        perturb: Map of images and the iteration to the perturbed images that the teacher sees, or several maps, for
            each of which the teacher makes a prediction; by default it sees the images as they are.
        teacher_warm_up: Number ``w``: in iteration ``t``, ``1 - α`` is replaced by ``w/t``, at most 1, as long as this
            is larger. With 1 the teacher is at first the plain average of all weights so far, as in the public code of
            GM-ABS (IEEE TMI 2025) and of the mean teacher; with 10 the average covers about the last tenth of the
            iterations so far, which is ours; with 0 there is no warm-up.
        mix: Maps the batch and the iteration to the batch that student and teacher learn from.
        inferer: Runs student and teacher on the images; a plain forward pass by default.
        max_epochs: Epochs after which training ends at the latest; an epoch is only a unit of progress here.
        epoch_length: Iterations per epoch.
        handlers: Handlers to attach, in this order, after the teacher's update.
        precision: ``fp32``, ``bf16`` or ``fp16`` (with loss scaling).

    Raises:
        ValueError: If terms share a name or need a teacher where there is none.
        FloatingPointError: While training, if the loss is not finite.
    """

    def __init__(
        self,
        *,
        device: torch.device | str,
        max_iterations: int,
        train_data_loader: Iterable[Any],
        network: nn.Module,
        optimizer: Optimizer,
        terms: Sequence[LossTerm],
        teacher: EMAHandler | None = None,
        perturb: Perturbation | Sequence[Perturbation] = (),
        teacher_warm_up: float = 10.0,
        mix: Callable[[dict[str, Any], int], dict[str, Any]] | None = None,
        inferer: Inferer | None = None,
        max_epochs: int | None = None,
        epoch_length: int = 100,
        handlers: Sequence[Any] = (),
        precision: str = "fp32",
    ) -> None:
        names = [term.name for term in terms]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"terms must be at least one, each with a name of its own, got {names}.")
        if teacher is None and any(term.needs_teacher for term in terms):
            raise ValueError(
                f"some of the terms {names} need a teacher, got None; pass one, e.g. mean_teacher(network)."
            )
        if max_iterations < 1:
            raise ValueError(f"max_iterations must be at least 1, got {max_iterations}.")
        if teacher_warm_up < 0:
            raise ValueError(f"teacher_warm_up must not be negative, got {teacher_warm_up}.")
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
        super().__init__(
            device=device,
            max_epochs=max_epochs or -(-max_iterations // epoch_length),
            data_loader=train_data_loader,
            epoch_length=epoch_length,
            decollate=False,
        )
        self.max_iterations = max_iterations
        self.network = channels_last(network)
        self.optimizer = optimizer
        self.terms = list(terms)
        self.teacher = teacher
        self.perturb = [perturb] if callable(perturb) else list(perturb)
        self.teacher_warm_up = teacher_warm_up
        self.mix = mix
        self.inferer = SimpleInferer() if inferer is None else inferer
        self.precision = precision
        self.loss_scaler = torch.amp.GradScaler(self.state.device.type, enabled=precision == "fp16")
        if teacher is not None:
            channels_last(teacher.ema_model)
            teacher.attach(self)
            self.add_event_handler(Events.ITERATION_STARTED, self._warm_up_teacher, teacher.momentum)
        self._register_handlers(handlers)
        self.add_event_handler(Events.ITERATION_COMPLETED, self._end)

    def _warm_up_teacher(self, momentum: float) -> None:
        self.state.ema_momentum = max(momentum, min(1.0, self.teacher_warm_up / self.state.iteration))

    def _end(self) -> None:
        if self.state.iteration >= self.max_iterations:
            self.terminate()

    def _forward(self, images: torch.Tensor, network: Callable[..., Any]) -> torch.Tensor:
        part = own_part(images).contiguous(memory_format=torch.channels_last_3d)
        with autocast(self.state.device, self.precision):
            return whole(self.inferer(part, network))

    @torch.no_grad()
    def _forward_detached(self, images: torch.Tensor, network: Callable[..., Any]) -> torch.Tensor:
        return self._forward(images, network)

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> list[dict[str, float]]:  # type: ignore[override]
        device = self.state.device
        batch = {
            key: whole(_without_metadata(entry).to(device, non_blocking=True))
            for key, entry in batchdata.items()
            if isinstance(entry, torch.Tensor)
        }
        iteration = self.state.iteration - 1
        if self.mix is not None:
            batch = self.mix(batch, iteration)
        images = batch["image"]
        weighted = [(term, weight) for term in self.terms if (weight := term.weight_at(iteration)) != 0]

        self.network.train()
        network = Forward(self.network, self._forward)
        teacher_network = None if self.teacher is None else Forward(self.teacher.ema_model, self._forward_detached)
        student = network(images)
        teacher: list[torch.Tensor] = []
        if teacher_network is not None and any(term.needs_teacher for term, _ in weighted):
            seen = (perturb(images, iteration) for perturb in self.perturb) if self.perturb else [images]
            teacher = [teacher_network(perturbed) for perturbed in seen]
        self.fire_event(IterationEvents.FORWARD_COMPLETED)

        step = Step(batch, student, teacher, iteration, network, teacher_network)
        output: dict[str, torch.Tensor] = {}
        loss = student.new_zeros((), dtype=torch.float32)
        for term, weight in weighted:
            unweighted = term(step)
            output[term.name] = unweighted.detach()
            loss = loss + weight * unweighted
        self.fire_event(IterationEvents.LOSS_COMPLETED)

        self.optimizer.zero_grad(set_to_none=True)
        self.loss_scaler.scale(loss).backward()
        self.loss_scaler.step(self.optimizer)
        self.loss_scaler.update()
        self.fire_event(IterationEvents.MODEL_COMPLETED)

        output["loss"] = loss.detach()
        numbers = dict(zip(output, torch.stack(list(output.values())).tolist(), strict=True))
        if not math.isfinite(numbers["loss"]):
            scans = ", ".join(map(str, batchdata.get("scan", ()))) or "unknown names"
            raise FloatingPointError(
                f"expected a finite loss, found {numbers} in iteration {iteration + 1}, with the scans {scans}; look "
                "at them, or lower the learning rate, or use fp32."
            )
        return [numbers]


def _without_metadata(images: torch.Tensor) -> torch.Tensor:
    """A plain tensor, so that the network's operations need not carry metadata along."""
    return images.as_tensor() if isinstance(images, MetaTensor) else images
