"""Pseudo-labels by a generalist, renewed at every round."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine

from common import IGNORE_INDEX
from common.annotations.ledger import Ledger
from common.annotations.store import AnnotationStore
from common.cohort.volumes import scan_spacing
from common.files import digest
from common.generalists.denoise import confident_learning_filter
from common.generalists.prototypes import prototype_similarity
from common.handlers.pool import PoolInference, PoolScan, of_all_processes, prompt_seed
from common.handlers.progress import RoundProgress
from common.pseudo_labels.known import with_annotation

if TYPE_CHECKING:
    from common.generalists.multi_view import MultiViewLabeler

logger = logging.getLogger(__name__)


class PseudoLabelHandler:
    """Writes a pseudo-label for every scan of the pool at every round (FM-ABS, MICCAI 2024).

    The teacher's prediction prompts the generalist in three views; the fused masks are the pseudo-label. Where an
    expert has annotated a voxel, the expert's label is kept. A scan in which the teacher finds nothing has no prompt,
    and so no pseudo-label until a later round; one that it had is removed. The Dice of the teacher and of the
    pseudo-labels on the voxels that experts have annotated is logged at each round (``engine.state.metrics``:
    ``teacher_dice``, ``pseudo_label_dice``).

    Args:
        pool: The teacher's inference over the pool, which shows this handler each scan.
        labeler: Makes a label map from an image and a prediction.
        ledger: Ledger that tells which classes were annotated.
        store: Store that gets the pseudo-labels and holds the annotations.
        num_classes: Number of classes C, including the background.
        seed: Seed of the random prompts.
        annotated: Whether annotated scans are labelled like the others; if not, their pseudo-labels are left alone, and
            only their Dice is logged (:class:`PropagatedLabels` makes them).
        prototypes: Whether to prompt with points where the teacher's features are most similar to the class, and a
            negative one where they are least, instead of random points (GM-ABS, TMI 2025: ``prototype_similarity``,
            with contrast).
        denoise: Whether to drop the voxels of the fused masks that the teacher confidently contradicts
            (``confident_learning_filter``; the teacher's probabilities of the whole scan are our choice).

    Raises:
        ValueError: If prototypes are wanted of a pool that gives no features.
    """

    def __init__(
        self,
        pool: PoolInference,
        *,
        labeler: MultiViewLabeler,
        ledger: Ledger,
        store: AnnotationStore,
        num_classes: int,
        seed: int = 0,
        annotated: bool = True,
        prototypes: bool = False,
        denoise: bool = False,
    ) -> None:
        if prototypes and not pool.features:
            raise ValueError(
                "pool must give features for prototypes: PoolInference(features=True), got features=False."
            )
        self.pool = pool
        self.labeler = labeler
        self.ledger = ledger
        self.store = store
        self.num_classes = num_classes
        self.seed = seed
        self.annotated = annotated
        self.prototypes = prototypes
        self.denoise = denoise
        self._round = 0
        self._progress = RoundProgress(store.folder / f"round_{idist.get_rank()}.jsonl")

    def attach(self, engine: Engine) -> None:
        """Listens to the pool's rounds."""
        self.pool.listen(self)

    def begin(self, engine: Engine, number: int) -> None:
        """Begins a round, or resumes one that was interrupted, if the teacher is the same."""
        self._round = number
        self._progress.begin(f"{number} by {digest(*self.pool.network.state_dict().values())}")

    def visit(self, scan: PoolScan) -> None:
        """Labels one scan."""
        if scan.scan in self._progress.done:
            return
        prediction = scan.probabilities.argmax(dim=0).to(torch.uint8)
        annotation = self.store.read("annotation", scan.scan)
        label = self._label(scan, prediction) if prediction.any() else None
        if annotation is None or self.annotated:
            self._store(scan, label, annotation)
        agreement = []
        if annotation is not None:
            found = prediction.cpu().numpy()
            classes = self.ledger.partial_classes.get(scan.scan) or range(1, self.num_classes)
            agreement = [
                annotated_dice(it, annotation, classes=classes)
                for it in (found, np.full_like(found, IGNORE_INDEX) if label is None else label)
            ]
        self._progress.add(scan.scan, agreement)

    def end(self, engine: Engine, number: int) -> None:
        """Logs the Dice of teacher and pseudo-labels."""
        agreement = [numbers for _, numbers in sorted(of_all_processes(self._progress.done).items()) if numbers]
        teacher, pseudo_label = torch.tensor(agreement).reshape(-1, 2).nanmean(dim=0).tolist()
        engine.state.metrics |= {"teacher_dice": teacher, "pseudo_label_dice": pseudo_label}
        logger.info(
            "round %d of pseudo-labels: Dice on annotated voxels %.3f (teacher), %.3f (pseudo-labels)",
            number,
            teacher,
            pseudo_label,
        )

    def _label(self, scan: PoolScan, prediction: torch.Tensor) -> np.ndarray:
        """The fused masks of a scan in which the teacher finds something."""
        similarity = None
        if self.prototypes and scan.features is not None:
            similarity = prototype_similarity(scan.features, scan.probabilities, contrast=True)
        fused = self.labeler(
            scan.image[0],
            prediction,
            spacing=scan_spacing(scan.affine.cpu().numpy()),
            seed=prompt_seed(self.seed, round=self._round, scan=scan.scan),
            similarity=similarity,
            specialist=scan.probabilities,
        )
        if self.denoise:
            fused = confident_learning_filter(fused, scan.probabilities)
        return fused.cpu().numpy()

    def _store(self, scan: PoolScan, label: np.ndarray | None, annotation: np.ndarray | None) -> None:
        if label is None:
            self.store.remove_pseudo_label(scan.scan)
            return
        if annotation is not None:
            label = with_annotation(label, annotation, self.ledger.partial_classes.get(scan.scan))
        self.store.write("pseudo_label", scan.scan, label, scan.affine.cpu().numpy())


def annotated_dice(prediction: np.ndarray, annotation: np.ndarray, *, classes: Iterable[int]) -> float:
    """Mean Dice over some classes, on annotated voxels alone; voxels where the prediction abstains count as wrong.

    Args:
        prediction: Label map ``[H, W, D]``.
        annotation: Label map ``[H, W, D]``, 255 where nothing is annotated.
        classes: The classes: those that were annotated.

    Returns:
        The mean, 0..1; NaN if neither has any of the classes there.
    """
    known = annotation != IGNORE_INDEX
    found, truth = prediction[known], annotation[known]
    scores = []
    for index in classes:
        size = int((found == index).sum()) + int((truth == index).sum())
        if size:
            scores.append(2 * int(((found == index) & (truth == index)).sum()) / size)
    return float(np.mean(scores)) if scores else float("nan")
