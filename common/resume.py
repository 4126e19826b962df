"""What a run that is started in the folder of a former one must have in common with it, checked before it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from common.annotations import AnnotationStore, Ledger
from common.cohort.cohort import Cohort
from common.cohort.fingerprint import fingerprint, first_difference
from common.files import read_checkpoint, read_json, write_json

COHORT = "cohort.json"
"""File of a run's folder that tells its cohort from others."""

ANOTHER = "use another --output_dir"


def check_resume(
    folder: str | Path,
    *,
    settings: Mapping[str, Any],
    cohort: Cohort,
    ledger: Ledger,
    store: AnnotationStore,
    elsewhere: bool = False,
) -> None:
    """Refuses to resume a run with other settings, another cohort, or without its annotations; a new run passes.

    To be called last before a training: all that it writes is the fingerprint of the cohort.

    Args:
        folder: Folder of the run.
        settings: What must not change, see :func:`common.settings.config.agreed`.
        cohort: The cohort.
        ledger: The run's ledger.
        store: The run's annotations.
        elsewhere: Whether the ledger may list scans that are not in this cohort.

    Raises:
        FileNotFoundError: If the ledger or an annotation is missing.
        ValueError: Naming what was then and what is now.
    """
    checkpoint = Path(folder) / "checkpoint.pt"
    trained = checkpoint.exists() and read_own_checkpoint(checkpoint, settings, mmap=True).get("iteration", 0) > 0
    scans = None if elsewhere else [scan.id for scan in cohort.training]
    check_ledger(ledger, scans=scans, store=store, begun=trained)
    check_same_cohort(folder, cohort, begun=trained or bool(ledger.entries))


def read_own_checkpoint(path: Path, settings: Mapping[str, Any], *, mmap: bool = False) -> dict[str, Any]:
    """Reads a training's checkpoint, and refuses one of other settings.

    Args:
        path: File of the checkpoint.
        settings: What must not change, by name.
        mmap: Whether tensors are read as they are used, for those who need none of them.

    Returns:
        What :class:`common.handlers.Checkpoint` saved.

    Raises:
        ValueError: If the file is no checkpoint of a training, or one of other settings; names them all.
    """
    what = "the checkpoint of a training"
    unreadable = f"a file that cannot be read; delete it to start from scratch, or {ANOTHER}"
    content = read_checkpoint(path, expected=what, found=unreadable, mmap=mmap)
    expected = f"{path}: expected {what}"
    former = content.get("settings") if isinstance(content, dict) else None
    if not isinstance(former, dict):
        names = ", ".join(map(str, list(content)[:3])) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{expected}, found a file without its settings ({names}); {ANOTHER}, or move the file away.")
    if missing := [name for name in settings if name not in former]:
        raise ValueError(
            f"{expected} that says {', '.join(missing)}, found one of an earlier version, which does not; resume with "
            f"the version that wrote it, or {ANOTHER}."
        )
    found = [change for name in settings for change in _changed(name, former, settings)]
    changed = [f"{name}: {then!r} then, {now!r} now" for name, then, now in found]
    if changed:
        raise ValueError(
            f"{expected} with these settings, found one with others ({'; '.join(changed)}); use the former settings, "
            f"or {ANOTHER}."
        )
    return dict(content)


def check_ledger(ledger: Ledger, *, scans: Sequence[str] | None, store: AnnotationStore, begun: bool) -> None:
    """Refuses to go on without annotations that a run has had.

    Args:
        ledger: The run's ledger.
        scans: Ids of the training scans; None if it may list others, whose annotations need not be here.
        store: The run's annotations.
        begun: Whether the run has trained, hence must have a ledger.

    Raises:
        FileNotFoundError: If the ledger is missing, or an annotation that it lists.
        ValueError: If it lists what can be no scan's id, or is no training scan's.
    """
    if begun and not ledger.entries:
        raise FileNotFoundError(
            f"{ledger.path}: expected the ledger of the run whose checkpoint is here, found no entry; bring the file "
            f"back, or {ANOTHER}."
        )
    if wrong := [scan for scan in ledger.labelled if Path(scan).name != scan]:
        raise ValueError(
            f"{ledger.path}: expected the ids of scans, found paths, {', '.join(map(repr, wrong))}; bring back the "
            f"ledger as the run wrote it, or {ANOTHER}."
        )
    if scans is None:
        return
    known = set(scans)
    if unknown := [scan for scan in ledger.labelled if scan not in known]:
        raise ValueError(
            f"{ledger.path}: expected training scans, found {', '.join(unknown)}, annotated but not among the "
            f"{len(known)} training scans of the datalist; bring them back, or {ANOTHER}."
        )
    if missing := [scan for scan in ledger.labelled if not store.has("annotation", scan)]:
        paths = ", ".join(str(store.path("annotation", scan)) for scan in missing)
        raise FileNotFoundError(
            f"{paths}: expected the annotation of a scan that the ledger lists, found no such file; bring it back, or "
            f"{ANOTHER}."
        )


def check_same_cohort(folder: str | Path, cohort: Cohort, *, begun: bool) -> None:
    """Refuses another cohort than that of the run in this folder, and keeps the fingerprint of a new run's.

    Args:
        folder: Folder of the run.
        cohort: The cohort.
        begun: Whether anything has been annotated or trained in the folder; otherwise another cohort takes its place.

    Raises:
        ValueError: Naming the first scan that differs.
    """
    path = Path(folder) / COHORT
    now = fingerprint(cohort)
    former = read_json(path) if path.is_file() else None
    if begun and former is not None:
        if difference := first_difference(former, now):
            raise ValueError(
                f"{path}: expected the cohort of the run in this folder, found another in {cohort.folder}: "
                f"{difference}; give the former --dataset_dir, or {ANOTHER}."
            )
    elif former != now and idist.get_rank() == 0:
        write_json(path, now)


def _changed(name: str, former: Mapping[str, Any], settings: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """A setting that has changed, or the changed ones of several, each with its value then and now."""
    then, now = former[name], settings[name]
    if isinstance(then, dict) and isinstance(now, dict):
        own = "the bundle's own"
        pairs = {key: (then.get(key, own), now.get(key, own)) for key in then | now}
        return [(key, *pair) for key, pair in pairs.items() if pair[0] != pair[1]]
    return [] if then == now else [(name, then, now)]
