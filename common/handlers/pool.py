"""A pass of inference over the pool at every round, shared by the handlers that need it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import ignite.distributed as idist
import torch
from ignite.engine import Engine, EventEnum, Events
from monai.data import MetaTensor
from monai.inferers import Inferer
from torch import nn

from common.annotations.scan_dataset import ScanDataset
from common.engines.inferer import ProbabilityInferer
from common.engines.scans import each_scan
from common.handlers.rounds import RoundTimes
from common.query.prediction import Prediction

Item = TypeVar("Item")


class RoundEvents(EventEnum):
    """Events before and after a round, at which a checkpoint is saved."""

    ROUND_STARTED = "round_started"
    ROUND_COMPLETED = "round_completed"


@dataclass(frozen=True, kw_only=True)
class PoolScan(Prediction):
    """A scan of the pool, and the network's prediction for it, in float32 on the device.

    Attributes:
        scan: The scan's id.
        image: The normalised image ``[channels, H, W, D]`` on the device, in RAS orientation.
        affine: Affine ``[4, 4]`` of the RAS grid, in millimetres.
    """

    scan: str
    image: torch.Tensor
    affine: torch.Tensor


class RoundListener(Protocol):
    """A handler that acts on the pool's inference."""

    def begin(self, engine: Engine, number: int) -> None:
        """Called when a round begins."""

    def visit(self, scan: PoolScan) -> None:
        """Called for each scan of the pool, or for this process's share of them."""

    def end(self, engine: Engine, number: int) -> None:
        """Called when all scans have been visited."""


class PoolInference:
    """Runs a network over the pool at every round and shows each scan to its listeners.

    One scan's probabilities are in memory at a time. Several processes share the scans out.

    Args:
        dataset: The pool, with cached images.
        network: The network that predicts: the teacher or the student.
        inferer: Inferer that gives probabilities ``[1, C, H, W, D]`` of a whole scan, e.g. ``ProbabilityInferer``.
        rounds: Iterations at which a round takes place.
        device: Device on which to run.
        progress: Whether to show a progress bar.
        features: Whether to give features of the network too, in the same pass.

    Raises:
        ValueError: If features are wanted of an inferer other than ``ProbabilityInferer``.
    """

    def __init__(
        self,
        dataset: ScanDataset,
        *,
        network: nn.Module,
        inferer: Inferer,
        rounds: RoundTimes,
        device: torch.device | str,
        progress: bool = True,
        features: bool = False,
    ) -> None:
        if features and not isinstance(inferer, ProbabilityInferer):
            raise ValueError(f"inferer must be a ProbabilityInferer to give features, got {type(inferer).__name__}.")
        self.dataset = dataset
        self.network = network
        self.inferer = inferer
        self.rounds = rounds
        self.device = torch.device(device)
        self.progress = progress
        self.features = features
        self.listeners: list[RoundListener] = []
        self.completed = 0

    def listen(self, listener: RoundListener) -> None:
        """Shows this listener every scan from the next round on."""
        self.listeners.append(listener)

    def attach(self, engine: Engine) -> None:
        """Runs rounds after the iterations that are due; an interrupted round is run when training starts again."""
        engine.register_events(*RoundEvents)
        engine.add_event_handler(Events.STARTED, self)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def state_dict(self) -> dict[str, int]:
        """The number of rounds completed."""
        return {"completed": self.completed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restores the number of rounds completed."""
        self.completed = state["completed"]

    def __call__(self, engine: Engine) -> None:
        iteration = engine.state.iteration
        if engine.should_terminate or not self.rounds.due(iteration):
            return
        number = self.rounds.number(iteration)
        if number <= self.completed:
            return
        engine.fire_event(RoundEvents.ROUND_STARTED)
        engine.state.metrics.clear()  # what is logged of a round are its own numbers
        for listener in self.listeners:
            listener.begin(engine, number)
        for scan, image in self.scans(f"round {number}: pool"):
            predicted = self.predict(scan, image)
            for listener in self.listeners:
                listener.visit(predicted)
        for listener in self.listeners:
            listener.end(engine, number)
            if engine.should_terminate:
                return
        self.completed = number
        engine.fire_event(RoundEvents.ROUND_COMPLETED)

    def scans(self, what: str, scans: Sequence[str] | None = None) -> Iterator[tuple[str, MetaTensor]]:
        """The pool's scans, or some of them, with their images, shared out among the processes.

        See :func:`common.engines.each_scan`.
        """
        return each_scan(
            self.dataset, self.network, self.device, what=what, scans=scans, share=True, progress=self.progress
        )

    @torch.no_grad()
    def predict(self, scan: str, image: MetaTensor) -> PoolScan:
        """The network's prediction for a scan of the pool, in evaluation mode."""
        plain = image.as_tensor()
        if self.features and isinstance(self.inferer, ProbabilityInferer):
            probabilities, features = (found[0] for found in self.inferer.with_features(plain[None], self.network))
        else:
            probabilities, features = self.inferer(plain[None], self.network)[0], None
        return PoolScan(scan=scan, image=plain, probabilities=probabilities, affine=image.affine, features=features)


def prompt_seed(seed: int, *, round: int, scan: str) -> int:
    """Seed of the prompts of a scan in a round, whatever the order of the scans and the number of processes."""
    return zlib.crc32(f"{seed}/{round}/{scan}".encode())


def of_all_processes(mine: Mapping[str, Item]) -> dict[str, Item]:
    """Joins what each process found of its own scans, by scan."""
    parts: Any = idist.all_gather(mine)
    return {scan: found for part in parts for scan, found in part.items()}
