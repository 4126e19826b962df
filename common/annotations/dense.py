"""Dense labels for some scans, before training starts."""

from __future__ import annotations

import logging

import ignite.distributed as idist
import numpy as np

from common.annotations.ledger import Ledger
from common.annotations.oracle import OracleAnnotator
from common.annotations.record import annotate_and_record
from common.annotations.store import AnnotationStore
from common.cohort.cohort import Cohort

logger = logging.getLogger(__name__)


def annotate_densely(
    cohort: Cohort, *, ledger: Ledger, store: AnnotationStore, number: int | None = None, leave_unlabelled: bool = False
) -> list[str]:
    """Labels the first training scans densely, as the semi-supervised literature does; the others count as unlabelled.

    Doing it again changes nothing. A warning names each class that is in no labelled scan.

    Args:
        cohort: Cohort whose training scans are labelled.
        ledger: Ledger that records them, as round 0.
        store: Store that gets their dense labels.
        number: Number of scans to label, the first ones that have a label; None for all of them.
        leave_unlabelled: Whether at least one training scan must stay without a label.

    Returns:
        Ids of the labelled scans, in the datalist's order.

    Raises:
        ValueError: If too few scans have a label, none is left unlabelled although one must be, or the ledger has
            other annotated scans.
        CohortError: If a label is empty or cannot be read.
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
    wanted = [scan.id for scan in chosen]
    if ledger.labelled and ledger.labelled != wanted:
        raise ValueError(
            f"{ledger.path}: expected the labelled scans {', '.join(wanted)}, found {', '.join(ledger.labelled)}; "
            "use the settings of the run that wrote it, or another --output_dir."
        )
    if not ledger.labelled and idist.get_rank() == 0:
        annotator = OracleAnnotator(dense=True)
        annotate_and_record(chosen, annotator=annotator, ledger=ledger, store=store, strategy="first")
    idist.barrier()
    ledger.reload()
    labels = [store.read("annotation", scan) for scan in wanted]
    present = {int(index) for label in labels if label is not None for index in np.unique(label)}
    for index, name in cohort.labels.items():
        if index not in present:
            logger.warning("NO LABELLED SCAN HAS ANY %s (class %d): it cannot be learnt.", name, index)
    rest = len(cohort.training) - len(wanted)
    logger.info("%d training scans are labelled densely (%s), %d are not.", len(wanted), ", ".join(wanted), rest)
    return wanted
