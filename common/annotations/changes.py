"""Changes of a run's ledger and annotations that belong together: one at a time, and completed after a crash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from common.annotations.annotation import Annotation
from common.annotations.ledger import Ledger, LedgerEntry
from common.annotations.store import AnnotationStore
from common.files import digest, read_json, write_json


@contextmanager
def changing(ledger: Ledger, store: AnnotationStore) -> Iterator[None]:
    """Holds the lock of a run's ledger and annotations, for which other processes and threads wait.

    The ledger is read again first. If a crash has interrupted :func:`keep`, its entry is added now.

    Args:
        ledger: Ledger of the run.
        store: Store of the run.
    """
    ledger.path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(ledger.path.with_name(".ledger.lock")):
        ledger.reload()
        announced = _announcement(ledger)
        if announced.is_file():
            content = read_json(announced)
            entry = LedgerEntry(**content["entry"])
            stored = store.read("annotation", entry.scan)
            recorded = _changes(ledger) > content["changes"]
            if not recorded and stored is not None and _digest(stored) == content["digest"]:
                _record(entry, ledger)
            announced.unlink()
        yield


def keep(annotation: Annotation, entry: LedgerEntry, *, ledger: Ledger, store: AnnotationStore) -> None:
    """Puts a scan's annotation into the store and its entry into the ledger, in place of the former ones.

    Both are announced in a file beside the ledger, from which :func:`changing` completes them after a crash.

    Args:
        annotation: The scan's annotation.
        entry: Its entry.
        ledger: Ledger of the run, which :func:`changing` has locked.
        store: Store of the run.
    """
    announced = _announcement(ledger)
    content = {"entry": entry.plain(), "digest": _digest(annotation.array), "changes": _changes(ledger)}
    write_json(announced, content)
    store.replace(entry.scan, annotation.array, annotation.affine)
    _record(entry, ledger)
    announced.unlink()


def _record(entry: LedgerEntry, ledger: Ledger) -> None:
    if ledger.is_labelled(entry.scan):
        ledger.replace(entry)
    else:
        ledger.add(entry)


def _changes(ledger: Ledger) -> int:
    """How often an entry has been added or replaced."""
    return len(ledger.entries) + len(ledger.history)


def _announcement(ledger: Ledger) -> Path:
    return ledger.path.with_name(".submission.json")


def _digest(array: np.ndarray) -> str:
    return digest(torch.from_numpy(np.array(array, order="C")))
