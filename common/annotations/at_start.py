"""Annotations of some scans before training starts, from the labels of the datalist."""

from __future__ import annotations

from collections.abc import Sequence

import ignite.distributed as idist

from common.annotations.annotation import Annotator
from common.annotations.ledger import Ledger
from common.annotations.listed import check_annotations
from common.annotations.record import annotate_and_record
from common.annotations.store import AnnotationStore
from common.cohort.cohort import Cohort, Scan


def first_labelled(cohort: Cohort, number: int | None = None, *, leave_unlabelled: bool = False) -> list[Scan]:
    """Chooses the training scans that count as labelled, as the semi-supervised literature does: the first ones.

    Args:
        cohort: The cohort.
        number: How many of the training scans that have a label; None for all of them.
        leave_unlabelled: Whether some training scan must be left that does not count as labelled.

    Returns:
        The scans, in the datalist's order.

    Raises:
        ValueError: If too few scans have a label, or none is left unlabelled where some must be.
    """
    available = [scan for scan in cohort.training if scan.label is not None]
    if not available:
        raise ValueError(
            f"{cohort.folder}: expected at least one training scan with a label, found none to learn from."
        )
    if number is not None and not 1 <= number <= len(available):
        raise ValueError(
            f"labelled must lie in 1..{len(available)}, the training scans of {cohort.folder} that have a label, "
            f"got {number}."
        )
    chosen = available[:number]
    if leave_unlabelled and len(chosen) == len(cohort.training):
        raise ValueError(
            f"{cohort.folder}: expected unlabelled training scans, found labels of all {len(chosen)}; use fewer "
            "(--labelled N), or draw no unlabelled scans (--batch_unlabelled 0)."
        )
    return chosen


def annotate_at_start(
    scans: Sequence[Scan], *, annotator: Annotator, cohort: Cohort, ledger: Ledger, store: AnnotationStore
) -> None:
    """Has scans annotated before training; all other scans count as unlabelled.

    Doing it again changes nothing. Warns of each class that no labelled scan has.

    Args:
        scans: The scans, see :func:`first_labelled`.
        annotator: Who annotates them: an oracle that gives dense labels, or the datalist as it is.
        cohort: Their cohort.
        ledger: Ledger that records them, as round 0.
        store: Store that gets their annotations.

    Raises:
        ValueError: If the ledger has annotated other scans.
        CohortError: If a label is not what the annotator needs, or cannot be read.
    """
    wanted = [scan.id for scan in scans]
    if ledger.labelled and ledger.labelled != wanted:
        raise ValueError(
            f"{ledger.path}: expected the labelled scans {', '.join(wanted)}, found {', '.join(ledger.labelled)}; "
            "use the settings of the run that wrote it, or another --output_dir."
        )
    if not ledger.labelled and idist.get_rank() == 0:
        annotate_and_record(scans, annotator=annotator, ledger=ledger, store=store, strategy="first")
    idist.barrier()
    ledger.reload()
    check_annotations(cohort, ledger=ledger, store=store)
