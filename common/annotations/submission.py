"""Takes in an annotation that a person submits: into the store and the ledger, in place of the scan's former one."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from common.annotations.annotation import Annotation
from common.annotations.changes import changing, keep
from common.annotations.ledger import Ledger, LedgerEntry
from common.annotations.store import AnnotationStore
from common.cohort.check import grid_text
from common.cohort.cohort import Scan
from common.cohort.volumes import open_nifti, same_grid, to_ras


def submit_annotation(
    scan: Scan,
    annotation: Annotation,
    *,
    ledger: Ledger,
    store: AnnotationStore,
    strategy: str,
    score: float | None,
    round: int,
    iteration: int = 0,
) -> Literal["added", "replaced", "unchanged"]:
    """Stores an annotation and records it in the ledger, as the scan's first or as a correction of its former one.

    A correction keeps the former entry's place, round, iteration, strategy and score. What it replaces stays in the
    histories of the store and the ledger. Several processes and threads may submit at once: each submission counts, and
    the last one of a scan is what is learnt from. After a crash between the two files, the run's next change
    makes them agree.

    Args:
        scan: The scan.
        annotation: Its annotation.
        ledger: Ledger of the run; it is read again first.
        store: Store of the run.
        strategy: Name of the strategy that chose the scan, e.g. "her".
        score: The strategy's score, if it gave one.
        round: Number of the round that chose the scan.
        iteration: Iteration of the training at that time.

    Returns:
        Whether the annotation was added, has replaced another one, or was there already.

    Raises:
        ValueError: If the annotation does not lie on the scan's grid.
    """
    _check_grid(scan, annotation)
    with changing(ledger, store):
        known = ledger.is_labelled(scan.id)
        if known and store.holds(scan.id, annotation.array, annotation.affine):
            return "unchanged"
        entry = LedgerEntry(
            scan.id,
            round=round,
            iteration=iteration,
            strategy=strategy,
            score=score,
            slices=annotation.slices,
            voxels=annotation.voxels,
            annotator=annotation.annotator,
            classes=annotation.classes,
        )
        if known:
            former = ledger.entry(scan.id)
            entry = dataclasses.replace(
                entry,
                round=former.round,
                iteration=former.iteration,
                strategy=former.strategy,
                score=former.score,
            )
        keep(annotation, entry, ledger=ledger, store=store)
        return "replaced" if known else "added"


def _check_grid(scan: Scan, annotation: Annotation) -> None:
    image = open_nifti(scan.image)
    array, affine = to_ras(np.broadcast_to(np.uint8(0), image.shape[:3]), image.affine)
    if not same_grid(array.shape, affine, annotation.array.shape, annotation.affine):
        raise ValueError(
            f"{scan.id}: expected an annotation on the grid of {scan.image.name}, {grid_text(array.shape, affine)} in "
            f"RAS orientation, found {grid_text(annotation.array.shape, annotation.affine)}; save it without "
            "resampling or cropping."
        )
