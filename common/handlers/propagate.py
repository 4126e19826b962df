"""Pseudo-labels of annotated scans from the expert's slices alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from ignite.engine import Engine, Events

from common import IGNORE_INDEX
from common.annotations.cross_label import complete_slices
from common.annotations.ledger import Ledger, LedgerEntry
from common.annotations.store import AnnotationStore
from common.cohort.volumes import scan_spacing
from common.handlers.pool import PoolInference, PoolScan, prompt_seed

if TYPE_CHECKING:
    from common.generalists.propagate import Propagation


class PropagatedLabels:
    """Labels an annotated scan once, when it is annotated, from the expert's slices; this is ours, not FM-ABS's.

    Scans without a completely annotated slice in a view in which it walks, and those with a dense label, are left out.

    Prompts from an expert's mask are better than those of an early teacher.

    Args:
        pool: The inference over the pool at whose rounds scans are annotated.
        propagation: Makes a label map from an image and a cross-label, walking in some views.
        ledger: Ledger that tells which scans are annotated.
        store: Store that gets the pseudo-labels and holds the annotations.
        num_classes: Number of classes C, including the background.
        seed: Seed of the random prompts.
    """

    def __init__(
        self,
        pool: PoolInference,
        *,
        propagation: Propagation,
        ledger: Ledger,
        store: AnnotationStore,
        num_classes: int,
        seed: int = 0,
    ) -> None:
        self.pool = pool
        self.propagation = propagation
        self.ledger = ledger
        self.store = store
        self.num_classes = num_classes
        self.seed = seed

    def attach(self, engine: Engine) -> None:
        """Listens to the pool's rounds; attach it after the query, whose annotations it propagates."""
        self.pool.listen(self)
        engine.add_event_handler(Events.STARTED, self.start)

    def start(self, engine: Engine) -> None:
        """Propagates annotations that were made, or corrected, while no training ran."""
        if not engine.should_terminate:
            self._propagate(entry for entry in self.ledger.entries if not self._propagated(entry.scan))

    def begin(self, engine: Engine, number: int) -> None:
        """Does nothing before the scans of a round are annotated."""

    def visit(self, scan: PoolScan) -> None:
        """Does nothing with the prediction."""

    def end(self, engine: Engine, number: int) -> None:
        """Propagates the round's annotations."""
        self._propagate(entry for entry in self.ledger.entries if entry.round == number)

    def _propagate(self, entries: Iterable[LedgerEntry]) -> None:
        """Labels scans that have complete slices from these alone; processes share the scans out."""
        rounds = {entry.scan: entry.round for entry in entries if entry.slices is not None}
        complete = [
            scan for scan in rounds if complete_slices(self._annotation(scan), {}).keys() & self.propagation.views
        ]
        for scan, image in self.pool.scans("propagation", complete):
            affine = image.affine.cpu().numpy()
            label = self.propagation(
                image.as_tensor()[0],
                self._annotation(scan),
                spacing=scan_spacing(affine),
                seed=prompt_seed(self.seed, round=rounds[scan], scan=scan),
                num_classes=self.num_classes,
            )
            self.store.write("pseudo_label", scan, label.cpu().numpy(), affine)

    def _propagated(self, scan: str) -> bool:
        """Whether the scan's pseudo-label comes from its annotation, with which it then agrees."""
        label = self.store.read("pseudo_label", scan)
        if label is None:
            return False
        annotation = self._annotation(scan)
        return bool(((annotation == IGNORE_INDEX) | (label == annotation)).all())

    def _annotation(self, scan: str) -> np.ndarray:
        return np.asarray(self.store.read("annotation", scan))
