"""The log of a training, a file with one JSON object per line."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from common.files import replacing
from common.handlers.pool import RoundEvents


class TrainingLog:
    """Appends losses by term, validation metrics and the numbers of each round that has any to a JSON-lines file.

    A line is ``{"kind": "train" | "validation" | "round", "iteration": …, name: value, …}``. The number of lines is
    part of the run's checkpoint: when the run resumes from it, later lines are dropped, since they will be written
    again. So the log of a run that was stopped, whenever it was, is that of an uninterrupted one.

    Args:
        path: File of the log.
        every: Iterations between two ``train`` lines.
        validator: Engine whose metrics are logged after each of its runs; None to log no validation.
    """

    def __init__(self, path: str | Path, *, every: int = 10, validator: Engine | None = None) -> None:
        self.path = Path(path)
        self.every = every
        self.validator = validator
        self._lines = 0
        self._open = False
        self._iteration = 0

    def attach(self, engine: Engine) -> None:
        """Attaches the log, which the checkpoint does that counts its lines."""
        engine.register_events(*RoundEvents)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_STARTED, self._count)
        if idist.get_rank() != 0:
            return
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self._train)
        engine.add_event_handler(RoundEvents.ROUND_COMPLETED, self._round)
        if self.validator is not None:
            self.validator.add_event_handler(Events.COMPLETED, self._metrics, "validation")

    def state_dict(self) -> dict[str, int]:
        """The number of lines."""
        return {"lines": self._lines}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restores the number of lines; others are dropped from the file before the next one is written."""
        self._lines = state["lines"]

    def _start(self, engine: Engine) -> None:
        self._lines, self._open = 0, False

    def _count(self, engine: Engine) -> None:
        self._iteration = engine.state.iteration

    def _train(self, engine: Any) -> None:
        self._append("train", engine.state.output[0])

    def _round(self, engine: Engine) -> None:
        self._count(engine)
        if engine.state.metrics:
            self._metrics(engine, "round")

    def _metrics(self, engine: Engine, kind: str) -> None:
        self._append(kind, engine.state.metrics)

    def _append(self, kind: str, values: dict[str, Any]) -> None:
        line = {"kind": kind, "iteration": self._iteration, **{name: float(number) for name, number in values.items()}}
        if not self._open:
            self._drop_later_lines()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._lines += 1

    def _drop_later_lines(self) -> None:
        self._open = True
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        if len(lines) != self._lines:
            with replacing(self.path) as temporary:
                temporary.write_text("".join(lines[: self._lines]))


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """Reads the lines of a :class:`TrainingLog`; a last line that was cut off is skipped.

    Raises:
        ValueError: If another line is damaged; names the file and the line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected lines of text, found something else ({error}); delete the file.") from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            if number < len(lines):
                raise ValueError(f"{path}: line {number} is not valid JSON; delete the line or the file.") from None
            continue
        if not _is_record(record):
            raise ValueError(
                f"{path}: line {number}: expected kind, iteration and numbers by name, found {reprlib.repr(line)}; "
                "delete the line or the file."
            )
        records.append(record)
    return records


def _is_record(content: Any) -> bool:
    numbers = {name: it for name, it in content.items() if name != "kind"} if isinstance(content, dict) else {}
    return (
        "iteration" in numbers
        and isinstance(content.get("kind"), str)
        and all(isinstance(number, int | float) for number in numbers.values())
    )
