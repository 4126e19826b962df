"""Pseudo-labels of the scans whose prediction can be trusted, selected again at every round."""

from __future__ import annotations

import logging
import os

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.transforms import KeepLargestConnectedComponent

from common import IGNORE_INDEX
from common.annotations.ledger import Ledger
from common.annotations.store import AnnotationStore
from common.annotations.trust import ScanTrust, TrustEntry
from common.checks import check_largest_volumes
from common.cohort.volumes import open_nifti
from common.handlers.pool import PoolInference, PoolScan, of_all_processes
from common.pseudo_labels import nearest_distance, region_confidence, select_reliable

logger = logging.getLogger(__name__)


class ReliablePseudoLabels:
    """Selective semi-supervised fine-tuning (ASSFT, arXiv 2509.10784).

    Confidence and semantic distance are the criteria that the paper's abstract names. All formulas, the rounds, the
    teacher, the threshold of voxels and the largest components are ours.

    At every round an unlabelled scan has its teacher's prediction as its pseudo-label if its confidence is in the upper
    part and its distance to the nearest labelled scan in the lower part of all unlabelled scans
    (:func:`common.pseudo_labels.select_reliable`); the others have none. Voxels of low confidence are 255; what
    anatomy rules out, by the number of an organ's components, becomes background. The ledger records the selected scans
    with these numbers.

    Args:
        pool: The inference over the pool that shows this handler each scan; it must give features.
        ledger: Ledger that tells which scans are labelled, and records which are trusted.
        store: Store that gets the pseudo-labels.
        confidence_quantile: Quantile τ_c that a scan's confidence must reach.
        distance_quantile: Quantile τ_d that a scan's distance must not exceed.
        threshold: Probability, 0 to 1: voxels whose likeliest class has a lower one become 255.
        largest_volumes: Number of 3D components of a class that a pseudo-label keeps, largest first; all by default.
            The voxels of the others become background, however confident the teacher was.

    Attributes:
        selected: Ids of the scans that have had a pseudo-label since the last round, also in a resumed run.

    Raises:
        ValueError: If the pool gives no features, or the threshold or `largest_volumes` is out of its range.
    """

    def __init__(
        self,
        pool: PoolInference,
        *,
        ledger: Ledger,
        store: AnnotationStore,
        confidence_quantile: float = 0.5,
        distance_quantile: float = 0.5,
        threshold: float = 0.7,
        largest_volumes: int | None = None,
    ) -> None:
        if not pool.features:
            raise ValueError("pool must give features: PoolInference(features=True), got features=False.")
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must lie in 0..1, got {threshold}.")
        check_largest_volumes(largest_volumes)
        select_reliable({}, {}, confidence_quantile=confidence_quantile, distance_quantile=distance_quantile)
        self.pool = pool
        self.ledger = ledger
        self.store = store
        self.candidates = AnnotationStore(store.folder / "candidates")
        self.confidence_quantile = confidence_quantile
        self.distance_quantile = distance_quantile
        self.threshold = threshold
        self.largest_volumes = largest_volumes
        self.selected: list[str] = []
        self._features: dict[str, torch.Tensor] = {}
        self._confidence: dict[str, float] = {}

    def attach(self, engine: Engine) -> None:
        """Listens to the pool's rounds; attach it after what restores the pool's state."""
        self.pool.listen(self)
        engine.add_event_handler(Events.STARTED, self.start)

    def start(self) -> None:
        """Takes up the scans that the last completed round selected."""
        rounds = {one.round: one.selected for one in self.ledger.trust_entries}
        self.selected = rounds.get(self.pool.completed, [])

    def begin(self, engine: Engine, number: int) -> None:
        """Begins a round."""
        self._features, self._confidence = {}, {}

    def visit(self, scan: PoolScan) -> None:
        """Keeps a scan's features and, if it is not labelled, its confidence and a candidate for its pseudo-label."""
        highest, label = scan.probabilities.max(dim=0)
        self._features[scan.scan] = scan.pooled.cpu()
        if self.ledger.is_labelled(scan.scan):
            return
        self._confidence[scan.scan] = region_confidence(scan.probabilities)
        candidate = torch.where(highest < self.threshold, IGNORE_INDEX, label).to(torch.uint8)
        if self.largest_volumes is not None:
            keep = KeepLargestConnectedComponent(is_onehot=False, num_components=self.largest_volumes)
            candidate[label != keep(label[None].clone())[0]] = 0
        self.candidates.write("pseudo_label", scan.scan, candidate.cpu().numpy(), scan.affine.cpu().numpy())

    def end(self, engine: Engine, number: int) -> None:
        """Selects scans, and puts their pseudo-labels where training reads them."""
        features, confidence = of_all_processes(self._features), of_all_processes(self._confidence)
        labelled = [features[scan] for scan in sorted(features) if self.ledger.is_labelled(scan)]
        distance = nearest_distance({scan: features[scan] for scan in confidence}, labelled)
        self.selected = select_reliable(
            confidence,
            distance,
            confidence_quantile=self.confidence_quantile,
            distance_quantile=self.distance_quantile,
        )
        if idist.get_rank() == 0:
            for scan in sorted(confidence):
                self._publish(scan, scan in self.selected)
            found = {
                scan: ScanTrust(confidence[scan], distance[scan], scan in self.selected) for scan in sorted(confidence)
            }
            self.ledger.add_trust(TrustEntry(number, engine.state.iteration, found))
        idist.barrier()
        engine.state.metrics["reliable_scans"] = len(self.selected)
        logger.info(
            "round %d: %d of %d unlabelled scans are reliable (%s)",
            number,
            len(self.selected),
            len(confidence),
            ", ".join(self.selected) or "none",
        )

    def _publish(self, scan: str, selected: bool) -> None:
        """Moves a candidate into its place, or blanks a former label, which workers may be reading."""
        candidate = self.candidates.path("pseudo_label", scan)
        place = self.store.path("pseudo_label", scan)
        if selected:
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(candidate, place)
            return
        candidate.unlink()
        former = self.store.read("pseudo_label", scan)
        if former is not None and (former != IGNORE_INDEX).any():
            blank = np.full(former.shape, IGNORE_INDEX, np.uint8)
            self.store.write("pseudo_label", scan, blank, open_nifti(place).affine)
