"""Pseudo-labels by a generalist, renewed at every round."""

from __future__ import annotations

import logging
import zlib
from typing import TYPE_CHECKING

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.utils.dist import evenly_divisible_all_gather

from common import IGNORE_INDEX
from common.annotations.ledger import Ledger
from common.annotations.store import AnnotationStore
from common.cohort.volumes import spacing
from common.files import digest
from common.generalists.denoise import confident_learning_filter
from common.generalists.prototypes import prototype_similarity
from common.handlers.pool import PoolInference, PoolScan
from common.handlers.progress import RoundProgress

if TYPE_CHECKING:
    from common.generalists.multi_view import MultiViewLabeler
    from common.generalists.propagate import Propagation

logger = logging.getLogger(__name__)


class PseudoLabelHandler:
    """Writes a pseudo-label for every scan of the pool at every round (FM-ABS, MICCAI 2024).

    The teacher's prediction prompts the generalist in three views; the fused masks are the pseudo-label. Where an
    expert has annotated a voxel, the expert's label is kept. The Dice of the teacher and of the pseudo-labels on the
    voxels that experts have annotated is logged at each round (``engine.state.metrics``: ``teacher_dice``,
    ``pseudo_label_dice``).

    With ``propagation``, which is not in the paper, an annotated scan gets its pseudo-label when it is annotated, from
    the expert's slices alone, and keeps it: prompts from an expert's mask are better than those of an early teacher.

    Args:
        pool: The inference over the pool that shows this handler each scan.
        labeler: Makes a label map from an image and a prediction.
        ledger: Ledger that tells which scans are annotated.
        store: Store that gets the pseudo-labels and holds the annotations.
        num_classes: Number of classes C, including the background.
        seed: Seed of the random prompts.
        propagation: Makes a label map from an image and a cross-label; by default annotated scans are labelled like
            the others.
        warm_up: Iteration before which the teacher prompts nothing: labels from prompts of a poor teacher are worse
            than the teacher itself.
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
        propagation: Propagation | None = None,
        warm_up: int = 0,
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
        self.propagation = propagation
        self.warm_up = warm_up
        self.prototypes = prototypes
        self.denoise = denoise
        self._round = 0
        self._ready = False
        self._progress = RoundProgress(store.folder / f"round_{idist.get_rank()}.jsonl")

    def attach(self, engine: Engine) -> None:
        """Listens to the pool's rounds; attach it after the query, whose annotations it propagates."""
        self.pool.listen(self)
        engine.add_event_handler(Events.STARTED, self.start)

    def start(self, engine: Engine) -> None:
        """Propagates the first annotations."""
        if not engine.should_terminate:
            self._propagate([scan for scan in self._annotated(0) if not self.store.has("pseudo_label", scan)])

    def begin(self, engine: Engine, number: int) -> None:
        """Begins a round, or resumes one that was interrupted, if the teacher is the same."""
        self._round = number
        self._ready = engine.state.iteration >= self.warm_up
        if self._ready:
            self._progress.begin(f"{number} by {digest(*self.pool.network.state_dict().values())}")

    def visit(self, scan: PoolScan) -> None:
        """Labels one scan."""
        if not self._ready or scan.scan in self._progress.done:
            return
        prediction = scan.probabilities.argmax(dim=0).to(torch.uint8)
        affine = scan.affine.cpu().numpy()
        similarity = None
        if self.prototypes and scan.features is not None:
            similarity = prototype_similarity(scan.features, scan.probabilities, contrast=True)
        fused = self.labeler(
            scan.image[0], prediction, spacing=_spacing(affine), seed=self._seed(scan.scan), similarity=similarity
        )
        if self.denoise:
            fused = confident_learning_filter(fused, scan.probabilities)
        label = fused.cpu().numpy()
        agreement = []
        annotation = self.store.read("annotation", scan.scan)
        if annotation is not None:
            found = (prediction.cpu().numpy(), label)
            agreement = [annotated_dice(it, annotation, num_classes=self.num_classes) for it in found]
            label = np.where(annotation == IGNORE_INDEX, label, annotation)
        if annotation is None or self.propagation is None:
            self.store.write("pseudo_label", scan.scan, label, affine)
        self._progress.add(scan.scan, agreement)

    def end(self, engine: Engine, number: int) -> None:
        """Propagates the round's annotations, and logs the Dice of teacher and pseudo-labels."""
        self._propagate(self._annotated(number))
        if not self._ready:
            return
        numbers = [agreement for agreement in self._progress.done.values() if agreement]
        agreement = torch.tensor(numbers, device=self.pool.device).reshape(-1, 2)
        agreement = evenly_divisible_all_gather(agreement, concat=True)
        teacher, pseudo_label = agreement.nanmean(dim=0).tolist()
        engine.state.metrics |= {"teacher_dice": teacher, "pseudo_label_dice": pseudo_label}
        logger.info(
            "round %d: Dice on annotated voxels %.3f (teacher), %.3f (pseudo-labels)", number, teacher, pseudo_label
        )

    def _annotated(self, number: int) -> list[str]:
        return [entry.scan for entry in self.ledger.entries if entry.round == number and entry.slices is not None]

    def _propagate(self, scans: list[str]) -> None:
        """Labels annotated scans from their annotations; processes share the scans out."""
        if self.propagation is None:
            return
        for scan, image in self.pool.scans("propagation", scans):
            annotation = self.store.read("annotation", scan)
            affine = image.affine.cpu().numpy()
            label = self.propagation(
                image.as_tensor()[0],
                np.asarray(annotation),
                spacing=_spacing(affine),
                seed=self._seed(scan),
                num_classes=self.num_classes,
            )
            self.store.write("pseudo_label", scan, label.cpu().numpy(), affine)

    def _seed(self, scan: str) -> int:
        return zlib.crc32(f"{self.seed}/{self._round}/{scan}".encode())


def _spacing(affine: np.ndarray) -> tuple[float, float, float]:
    first, second, third = spacing(affine).tolist()
    return first, second, third


def annotated_dice(prediction: np.ndarray, annotation: np.ndarray, *, num_classes: int) -> float:
    """Mean Dice over the classes, on annotated voxels alone; voxels where the prediction abstains count as wrong.

    Args:
        prediction: Label map ``[H, W, D]``.
        annotation: Label map ``[H, W, D]``, 255 where nothing is annotated.
        num_classes: Number of classes C, including the background.

    Returns:
        The mean, 0..1; NaN if neither has any foreground there.
    """
    known = annotation != IGNORE_INDEX
    found, truth = prediction[known], annotation[known]
    scores = []
    for index in range(1, num_classes):
        size = int((found == index).sum()) + int((truth == index).sum())
        if size:
            scores.append(2 * int(((found == index) & (truth == index)).sum()) / size)
    return float(np.mean(scores)) if scores else float("nan")
