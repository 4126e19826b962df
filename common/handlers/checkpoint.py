"""Saves a run so that the same command resumes it where it stopped."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from common.files import replacing, write_json
from common.handlers.log import TrainingLog
from common.handlers.pool import RoundEvents
from common.networks import without_wrapper
from common.networks.model_files import settings_file
from common.resume import read_own_checkpoint

logger = logging.getLogger(__name__)


class Stateful(Protocol):
    """Anything whose state can be saved as tensors and Python's own types."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any) -> Any: ...


class BestModel:
    """Keeps the weights with the best validation score in a file; to be attached to the validator.

    Args:
        path: File of the state dict.
        network: Network whose weights are kept.
        metric: Name of the validator's metric; higher is better.
        settings: What has to be known to use the model, in types that JSON knows: it is kept beside the weights, see
            :func:`common.networks.model_settings`; by default nothing is.

    Attributes:
        best: The best score so far, None before the first validation; part of the run's checkpoint.
    """

    def __init__(
        self, path: str | Path, *, network: nn.Module, metric: str, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.path = Path(path)
        self.network = network
        self.metric = metric
        self.settings = settings
        self.best: float | None = None

    def attach(self, engine: Engine) -> None:
        """Compares the score with the best one after each validation."""
        engine.add_event_handler(Events.COMPLETED, self._compare)

    def state_dict(self) -> dict[str, Any]:
        """The best score."""
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the best score."""
        self.best = state["best"]

    def save(self) -> None:
        """Saves the current weights, and the settings before them."""
        if idist.get_rank() == 0:
            if self.settings is not None:
                write_json(settings_file(self.path), dict(self.settings))
            _write(self.network.state_dict(), self.path)

    def _compare(self, engine: Engine) -> None:
        score = float(engine.state.metrics[self.metric])
        if self.best is None or score > self.best:
            self.best = score
            self.save()


class Checkpoint:
    """Saves everything that a run depends on, and restores it when training starts.

    The file is rewritten every ``every`` iterations, before and after each round, and at the end. On the CPU with
    ``num_workers=0``, a run that was stopped anywhere, however often, and resumed ends with the exact weights of an
    uninterrupted one. It may be resumed with another number of processes, which leaves the training as it is but for
    rounding.

    Args:
        path: File of the checkpoint.
        objects: Objects to save, by name: networks, optimiser, scheduler, handlers with a state; None is left out.
        log: The run's log, which is attached before the checkpoint: its number of lines is saved too.
        best_model: Keeper of the best weights, which is saved too; if nothing was ever validated, it keeps the last
            weights of the finished run.
        settings: Settings that must not change when the run is resumed; numbers, texts and lists of them only.
        every: Iterations between two checkpoints.

    Raises:
        ValueError: When training starts, if the file cannot be read, was written with other settings, or lacks the
            state of an object.
        OSError: While training, if the file cannot be written; the former one stays as it is.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        objects: Mapping[str, Stateful | None],
        best_model: BestModel,
        settings: Mapping[str, Any],
        log: TrainingLog | None = None,
        every: int = 100,
    ) -> None:
        self.path = Path(path)
        self.objects = {name: _itself(it) for name, it in objects.items() if it is not None}
        self.objects["best_model"] = best_model
        if log is not None:
            self.objects["log"] = log
        self.log = log
        self.best_model = best_model
        self.settings = dict(settings)
        self.every = every
        self._complete = False

    def attach(self, engine: Engine) -> None:
        """Attaches it: after validation, whose score it saves, and before handlers that use the restored state."""
        engine.register_events(*RoundEvents)
        if self.log is not None:
            self.log.attach(engine)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self.save)
        engine.add_event_handler(RoundEvents.ROUND_STARTED, self.save)
        engine.add_event_handler(RoundEvents.ROUND_COMPLETED, self.save)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def save(self, engine: Any) -> None:
        """Writes the file, on the first process only."""
        if idist.get_rank() != 0:
            return
        content = {
            "settings": self.settings,
            "iteration": engine.state.iteration,
            "loss_scaler": engine.loss_scaler.state_dict(),
            "generators": _generators(),
            "objects": {name: stateful.state_dict() for name, stateful in self.objects.items()},
        }
        _write(content, self.path)

    def _start(self, engine: Any) -> None:
        self._complete = False
        if self.path.exists():
            self.load(engine)
        # A data loader draws from PyTorch's generator when it starts, in a resumed run once more than in one that was
        # not stopped: what it draws is undone.
        generators: dict[str, torch.Tensor] = {}
        first = {"epoch": engine.state.epoch + 1, "iteration": engine.state.iteration + 1}
        engine.add_event_handler(Events.EPOCH_STARTED(once=first["epoch"]), lambda: generators.update(_generators()))
        engine.add_event_handler(Events.ITERATION_STARTED(once=first["iteration"]), _restore, generators)

    def _finish(self, engine: Any) -> None:
        if self._complete:
            return
        if self.best_model.best is None and engine.state.iteration >= engine.max_iterations:
            self.best_model.save()
        self.save(engine)

    def load(self, engine: Any) -> None:
        """Restores the state from the file."""
        content = read_own_checkpoint(self.path, self.settings)
        missing = [name for name in self.objects if name not in content["objects"]]
        if missing:
            raise ValueError(
                f"{self.path}: expected the states of {', '.join(self.objects)}, found none of {', '.join(missing)}; "
                "it was written by another version: resume with that version, or use another --output_dir."
            )
        for name, stateful in self.objects.items():
            state = content["objects"][name]
            stateful.load_state_dict(without_wrapper(state) if isinstance(stateful, nn.Module) else state)
        engine.loss_scaler.load_state_dict(content["loss_scaler"])
        iteration = content["iteration"]
        engine.state.iteration = iteration
        engine.state.epoch = iteration // engine.state.epoch_length
        engine.data_loader.batch_sampler.iteration = iteration
        _restore(content["generators"])
        if iteration >= engine.max_iterations:
            logger.info("%s: training is complete (%d iterations); nothing to do.", self.path, iteration)
            self._complete = True
            engine.terminate()
        else:
            logger.info("%s: resuming after iteration %d.", self.path, iteration)


def _write(content: Any, path: Path) -> None:
    """Saves tensors and Python's own types; if that fails, a former file stays as it is."""
    try:
        with replacing(path) as temporary:
            torch.save(content, temporary)
    except (OSError, RuntimeError) as error:  # for a full disk, torch raises a RuntimeError
        kept = "the file of that name stays as it was" if path.exists() else "no file was left"
        reason = (str(error).splitlines() or [""])[0]
        raise OSError(
            f"{path}: expected to write this file of about {_megabytes(content):.0f} MB, found that it cannot be "
            f"written ({reason}; {shutil.disk_usage(path.parent).free / 1e6:.0f} MB are free); {kept}. "
            "Make room on the disk, or allow writing there, and run the same command again."
        ) from error


def _megabytes(content: Any) -> float:
    """Size of the tensors in nested dictionaries and lists."""
    if isinstance(content, torch.Tensor):
        return content.nbytes / 1e6
    parts = content.values() if isinstance(content, Mapping) else content if isinstance(content, (list, tuple)) else ()
    return sum(map(_megabytes, parts))


def _itself(stateful: Stateful) -> Stateful:
    """A network without the wrapper of several processes, which renames its weights."""
    return stateful.module if isinstance(stateful, DistributedDataParallel) else stateful


def _generators() -> dict[str, torch.Tensor]:
    """The states of PyTorch's random generators."""
    generators = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        generators["cuda"] = torch.cuda.get_rng_state()
    return generators


def _restore(generators: Mapping[str, torch.Tensor]) -> None:
    """Restores the states of the random generators."""
    torch.set_rng_state(generators["cpu"])
    if torch.cuda.is_available() and "cuda" in generators:
        torch.cuda.set_rng_state(generators["cuda"])
