"""The training scans that a ledger lists, for runs that learn from what has been annotated and ask nobody."""

from __future__ import annotations

import logging

import numpy as np

from common.annotations.ledger import Ledger
from common.annotations.store import AnnotationStore
from common.cohort.cohort import Cohort, Scan

logger = logging.getLogger(__name__)


def listed_scans(cohort: Cohort, ledger: Ledger) -> list[Scan]:
    """The training scans of a cohort that a ledger lists as annotated.

    Args:
        cohort: The cohort.
        ledger: The ledger.

    Returns:
        The scans, in the datalist's order.

    Raises:
        ValueError: If there is none.
    """
    listed = [scan for scan in cohort.training if ledger.is_labelled(scan.id)]
    if not listed:
        others = f" Those that it lists ({', '.join(ledger.labelled)}) are not in the cohort." if ledger.entries else ""
        raise ValueError(
            f"{ledger.path}: no annotated scan yet: expected at least one training scan of {cohort.folder} to learn "
            f"from, found none.{others} Annotate some first (--annotator folder, or MONAI Label), or give the "
            "--output_dir of a run that has some."
        )
    return listed


def check_annotations(cohort: Cohort, *, ledger: Ledger, store: AnnotationStore) -> None:
    """Checks that the scans that a ledger lists have annotations, and warns of each class that none of them has.

    Args:
        cohort: The cohort.
        ledger: The ledger.
        store: Store of the annotations.

    Raises:
        FileNotFoundError: If an annotation is missing.
        ValueError: If the ledger lists no training scan of the cohort, or an annotation is damaged.
    """
    scans = listed_scans(cohort, ledger)
    present: set[int] = set()
    for scan in scans:
        annotation = store.read("annotation", scan.id)
        if annotation is None:
            path = store.path("annotation", scan.id)
            raise FileNotFoundError(
                f"{path}: expected the annotation of a scan that the ledger lists, found no file; copy it here "
                "together with the ledger, or remove the scan's entry from the ledger."
            )
        present |= set(np.unique(annotation).tolist())
    for index, name in cohort.labels.items():
        if index not in present:
            logger.warning("NO LABELLED SCAN HAS ANY %s (class %d): it cannot be learnt.", name, index)
    names = ", ".join(scan.id for scan in scans)
    rest = len(cohort.training) - len(scans)
    logger.info("%d training scans are annotated (%s), %d are not.", len(scans), names, rest)
