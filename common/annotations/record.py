"""Has scans annotated and keeps the result: in the store, which training reads, and in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.annotations.annotation import Annotator, Suggestions
from common.annotations.changes import changing
from common.annotations.ledger import Ledger, LedgerEntry
from common.annotations.store import AnnotationStore
from common.cohort.cohort import Scan


def annotate_and_record(
    scans: Sequence[Scan],
    *,
    annotator: Annotator,
    ledger: Ledger,
    store: AnnotationStore,
    strategy: str,
    round: int = 0,
    iteration: int = 0,
    scores: Mapping[str, float] | None = None,
    suggestions: Suggestions | None = None,
) -> None:
    """Has scans annotated, stores their annotations and adds an entry for each to the ledger.

    Scans that the ledger lists when the annotations are there stay as they are: somebody else has annotated them.

    Args:
        scans: Scans to annotate.
        annotator: Who annotates them.
        ledger: Ledger that gets the entries.
        store: Store that gets the annotations.
        strategy: Name of the strategy that chose the scans, for the ledger.
        round: Number of the round that chose them.
        iteration: Iteration of the training at that time.
        scores: The strategy's score of each scan, for the ledger; a scan may be missing.
        suggestions: Slices worth annotating, for the annotator.

    Raises:
        AnnotationsPending: If the annotator cannot deliver yet; nothing is stored or recorded then.
    """
    annotations = annotator.annotate(scans, round=round, suggestions=suggestions)
    with changing(ledger, store):
        missing = {scan: it for scan, it in annotations.items() if not ledger.is_labelled(scan)}
        for scan, annotation in missing.items():
            store.replace(scan, annotation.array, annotation.affine)
        ledger.add(
            LedgerEntry(
                scan=scan,
                round=round,
                iteration=iteration,
                strategy=strategy,
                score=None if scores is None else scores.get(scan),
                slices=annotation.slices,
                voxels=annotation.voxels,
                annotator=annotation.annotator,
                classes=annotation.classes,
            )
            for scan, annotation in missing.items()
        )
