"""The log of a training, a file with one JSON object per line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from common.files import replacing
from common.handlers.pool import RoundEvents


class TrainingLog:
    """Appends losses by term, validation metrics and the numbers of each round that has any to a JSON-lines file.

    A line is ``{"kind": "train" | "validation" | "round", "iteration": …, name: value, …}``. When a run resumes from a
    checkpoint, the lines of later iterations are dropped, since they will be written again.

    Args:
        path: File of the log.
        every: Iterations between two ``train`` lines.
        validator: Engine whose metrics are logged after each of its runs; None to log no validation.
    """

    def __init__(self, path: str | Path, *, every: int = 10, validator: Engine | None = None) -> None:
        self.path = Path(path)
        self.every = every
        self.validator = validator
        self._iteration = 0

    def attach(self, engine: Engine) -> None:
        """Attaches the log: after the checkpoint, at whose iteration it resumes."""
        if idist.get_rank() != 0:
            return
        engine.register_events(*RoundEvents)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self._train)
        engine.add_event_handler(RoundEvents.ROUND_COMPLETED, self._round)
        engine.add_event_handler(Events.ITERATION_STARTED, self._count)
        if self.validator is not None:
            self.validator.add_event_handler(Events.COMPLETED, self._metrics, "validation")

    def _start(self, engine: Engine) -> None:
        self._iteration = engine.state.iteration
        if self.path.exists():
            kept = [line for line in read_log(self.path) if line["iteration"] <= self._iteration]
            text = "".join(json.dumps(line) + "\n" for line in kept)
            with replacing(self.path) as temporary:
                temporary.write_text(text)

    def _count(self, engine: Engine) -> None:
        self._iteration = engine.state.iteration

    def _train(self, engine: Any) -> None:
        self._append("train", engine.state.output)

    def _round(self, engine: Engine) -> None:
        if engine.state.metrics:
            self._metrics(engine, "round")

    def _metrics(self, engine: Engine, kind: str) -> None:
        self._append(kind, engine.state.metrics)

    def _append(self, kind: str, values: dict[str, Any]) -> None:
        line = {"kind": kind, "iteration": self._iteration, **{name: float(number) for name, number in values.items()}}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a :class:`TrainingLog`; a last line that was cut off is skipped, any other damage is an error."""
    lines = Path(path).read_text().splitlines()
    records = []
    for number, line in enumerate(lines):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines) - 1:
                raise ValueError(f"{path}: line {number + 1} is not valid JSON; delete the line or the file.") from None
    return records
