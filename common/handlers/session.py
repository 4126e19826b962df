"""Keeps on record with what, when and in which sessions a result was made."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from common.files import read_json, write_json
from common.provenance import command, hardware, peak_gpu_memory, peak_memory, versions

FILE = "provenance.json"


class SessionRecord:
    """Adds a session to ``provenance.json``: command, config, seed, versions, hardware, time and peak memory.

    A session lasts from the engine's start to its end; a run that is stopped and resumed has several. The file is
    rewritten at the first iteration, every ``every`` iterations and at the end, so that of a session that is killed
    only the last iterations are missing. A run that had nothing left to do adds none. Of several processes the first
    keeps the record, of its own time and memory.

    A session has ``stage``, ``command`` and the ``folder`` it was given in, ``seed``, ``config`` (what is not as in the
    bundle's own), ``versions``, ``hardware``, ``processes``, ``started`` and ``ended`` (ISO 8601, UTC), ``complete``,
    ``seconds``, ``iterations`` (those done before the session and at its end), ``peak_memory`` of the process and
    ``peak_gpu_memory``, both in bytes.

    Args:
        folder: Folder of the file.
        stage: Name of what is run, such as ``training``.
        seed: Seed of the training, if there is one.
        config: Settings by id, in types that JSON knows, see :func:`common.settings.config.given`.
        every: Iterations between two updates of the file.

    Raises:
        ValueError: At the first iteration, if the file is damaged; it is not overwritten then.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        stage: str,
        seed: int | None = None,
        config: Mapping[str, Any] | None = None,
        every: int = 100,
    ) -> None:
        self.path = Path(folder) / FILE
        self.what = {"stage": stage, "seed": seed, "config": dict(config or {})}
        self.every = every
        self._former: list[dict[str, Any]] = []
        self._session: dict[str, Any] = {}
        self._begin = 0.0

    def attach(self, engine: Engine) -> None:
        """Registers the handler, on the first process only."""
        if idist.get_rank() != 0:
            return
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_STARTED, self._first)
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self._update)
        engine.add_event_handler(Events.COMPLETED, self._complete)

    def _start(self, engine: Any) -> None:
        self._session, self._begin = {}, time.monotonic()
        if torch.device(engine.state.device).type == "cuda":
            torch.cuda.reset_peak_memory_stats(engine.state.device)

    def _first(self, engine: Any) -> None:
        if self._session:
            return
        self._former = read_sessions(self.path)
        self._session = {
            **self.what,
            "command": command(),
            "folder": str(Path.cwd()),
            "versions": versions(),
            "hardware": hardware(engine.state.device),
            "processes": idist.get_world_size(),
            "started": _now(),
            "iterations": [engine.state.iteration - 1, engine.state.iteration - 1],
        }
        self._write(engine, complete=False)

    def _update(self, engine: Any) -> None:
        self._session["iterations"][1] = engine.state.iteration
        self._write(engine, complete=False)

    def _complete(self, engine: Any) -> None:
        if self._session:
            self._session["iterations"][1] = engine.state.iteration
            self._write(engine, complete=True)

    def _write(self, engine: Any, *, complete: bool) -> None:
        self._session |= {
            "ended": _now(),
            "complete": complete,
            "seconds": round(time.monotonic() - self._begin, 3),
            "peak_memory": peak_memory(),
            "peak_gpu_memory": peak_gpu_memory(engine.state.device),
        }
        write_json(self.path, {"version": 1, "sessions": [*self._former, self._session]})


def read_sessions(path: str | Path) -> list[dict[str, Any]]:
    """Reads the sessions that :class:`SessionRecord` has written, in order; none if there is no such file.

    Raises:
        ValueError: If the file is damaged.
    """
    path = Path(path)
    if not path.is_file():
        return []
    content = read_json(path)
    sessions = content.get("sessions") if isinstance(content, dict) else None
    if not isinstance(sessions, list) or not all(isinstance(one, dict) and "stage" in one for one in sessions):
        raise ValueError(
            f"{path}: expected a list of sessions, each with its stage, found something else; move it away."
        )
    return sessions


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
