"""The folder of a run, which one run at a time may write to."""

from __future__ import annotations

import os
import re
import socket
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from filelock import BaseFileLock, FileLock, Timeout

from common.files import read_json, write_json

LEFTOVER = re.compile(r"\.(\d+)\..+")
"""Name of a temporary file of :func:`common.files.replacing`: a dot, the number of its process, the file's name."""

WORKERS_END = 30
"""Seconds in which the workers of a run that was killed notice it and end, and with them its lock."""

_held: dict[Path, BaseFileLock] = {}


def hold_run_folder(folder: str | Path) -> None:
    """Reserves a folder for this process, and removes what killed writers left there.

    It is released by :func:`release_run_folder`, as often as it was reserved, and in any case when the process ends,
    however it ends. Of several processes of one run, the first holds the folder. A folder that cannot be written to
    needs no lock.

    Args:
        folder: The folder, made if it does not exist.

    Raises:
        ValueError: If another process holds the folder; the message names process, host and start.
    """
    if idist.get_rank() != 0:
        return
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        return
    if folder in _held:
        _held[folder].acquire()
        return
    lock, record = FileLock(folder / ".run.lock", thread_local=False), folder / ".run.json"
    try:
        lock.acquire(timeout=0 if _runs(holder := _holder(record)) else WORKERS_END)
    except Timeout:
        who = f"process {holder['process']} on {holder['host']}, since {holder['since']}," if holder else "another run"
        raise ValueError(
            f"output_dir {folder}: expected a folder that no other run writes to, found one that is written to by "
            f"{who} at this moment; wait for that run, stop it, or use another --output_dir."
        ) from None
    _held[folder] = lock
    remove_leftovers(folder)
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    write_json(record, {"host": socket.gethostname(), "process": os.getpid(), "since": now})


def release_run_folder(folder: str | Path) -> None:
    """Takes back one reservation by :func:`hold_run_folder`, if there is one."""
    folder = Path(folder).resolve()
    if folder in _held:
        _held[folder].release()
        if not _held[folder].is_locked:
            del _held[folder]


def remove_leftovers(folder: str | Path) -> None:
    """Removes temporary files that killed writers left in a folder and in those below it."""
    for path in Path(folder).rglob(".*"):
        found = LEFTOVER.fullmatch(path.name)
        if found and path.is_file() and not process_runs(int(found[1])):
            path.unlink(missing_ok=True)


def process_runs(number: int) -> bool:
    """Whether a process of this number runs on this machine; where that cannot be told, it is taken to run."""
    if os.name != "posix":
        return True
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _holder(record: Path) -> dict[str, Any]:
    """Who held a folder last; empty if nobody did, or the record is damaged."""
    try:
        found = read_json(record)
        return found if {"host", "process", "since"} <= found.keys() else {}
    except (FileNotFoundError, ValueError, AttributeError):
        return {}


def _runs(holder: dict[str, Any]) -> bool:
    """Whether the process that held a folder last may still run: one on another machine may."""
    return not holder or holder["host"] != socket.gethostname() or process_runs(int(holder["process"]))
