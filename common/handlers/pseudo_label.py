"""Pseudo-labels, renewed at every round."""

from __future__ import annotations

import logging
import zlib
from typing import TYPE_CHECKING

import numpy as np
import torch
from ignite.engine import Engine
from monai.utils.dist import evenly_divisible_all_gather

from common import IGNORE_INDEX
from common.cohort.store import AnnotationStore

from common.handlers.pool import PoolInference, PoolScan

if TYPE_CHECKING:
    from common.generalists.multi_view import MultiViewLabeler

logger = logging.getLogger(__name__)


class PseudoLabelHandler:
    """Writes a pseudo-label for every scan of the pool at every round (FM-ABS, Sec. 2.2).

    The teacher's prediction prompts the generalist in three views; the fused masks are the pseudo-label. Where an expert
    has annotated a voxel, the expert's label stands. How good the teacher and the pseudo-labels are on the voxels that
    experts have annotated is logged at each round (``engine.state.metrics``: ``teacher_dice``, ``pseudo_label_dice``).

    Args:
        pool: whose pass feeds this handler.
        labeler: makes a label map of an image and a prediction.
        store: where pseudo-labels go and annotations are read.
        num_classes: C, background included.
        seed: of the random prompts.
    """

    def __init__(
        self,
        pool: PoolInference,
        *,
        labeler: MultiViewLabeler,
        store: AnnotationStore,
        num_classes: int,
        seed: int = 0,
    ) -> None:
        self.pool = pool
        self.labeler = labeler
        self.store = store
        self.num_classes = num_classes
        self.seed = seed
        self._round = 0
        self._agreement: list[tuple[float, float]] = []

    def attach(self, engine: Engine) -> None:
        """Listens to the pool's pass."""
        self.pool.listen(self)

    def begin(self, engine: Engine, number: int) -> None:
        """Begins a round."""
        self._round = number
        self._agreement = []

    def visit(self, scan: PoolScan) -> None:
        """Labels one scan."""
        prediction = scan.probabilities.argmax(dim=0).to(torch.uint8)
        affine = np.asarray(scan.affine, dtype=np.float64)
        label = self.labeler(
            scan.image[0],
            prediction,
            spacing=tuple(np.linalg.norm(affine[:3, :3], axis=0).tolist()),
            seed=zlib.crc32(f"{self.seed}/{self._round}/{scan.scan}".encode()),
        )
        label = np.asarray(label.cpu())
        annotation = self.store.read("annotation", scan.scan)
        if annotation is not None:
            self._agreement.append(
                (
                    annotated_dice(prediction.cpu().numpy(), annotation, num_classes=self.num_classes),
                    annotated_dice(label, annotation, num_classes=self.num_classes),
                )
            )
            label = np.where(annotation == IGNORE_INDEX, label, annotation)
        self.store.write("pseudo_label", scan.scan, label, affine)

    def end(self, engine: Engine, number: int) -> None:
        """Logs the quality."""
        agreement = torch.tensor(self._agreement, device=self.pool.device).reshape(-1, 2)
        agreement = evenly_divisible_all_gather(agreement, concat=True)
        teacher, pseudo_label = agreement.nanmean(dim=0).tolist()
        engine.state.metrics |= {"round": number, "teacher_dice": teacher, "pseudo_label_dice": pseudo_label}
        logger.info(
            "round %d: Dice on annotated voxels %.3f (teacher), %.3f (pseudo-labels)", number, teacher, pseudo_label
        )


def annotated_dice(prediction: np.ndarray, annotation: np.ndarray, *, num_classes: int) -> float:
    """Mean Dice over the classes, on annotated voxels alone; voxels where the prediction abstains count as wrong.

    Args:
        prediction: label map ``[H, W, D]``.
        annotation: label map ``[H, W, D]``, 255 where nothing is annotated.
        num_classes: C, background included.

    Returns:
        In 0..1; NaN if no class is there.
    """
    known = annotation != IGNORE_INDEX
    found, truth = prediction[known], annotation[known]
    scores = []
    for index in range(1, num_classes):
        size = int((found == index).sum()) + int((truth == index).sum())
        if size:
            scores.append(2 * int(((found == index) & (truth == index)).sum()) / size)
    return float(np.mean(scores)) if scores else float("nan")
