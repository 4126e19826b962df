"""An evaluation handler that scores each scan and writes the scores to files."""

from __future__ import annotations

import csv
import logging
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from numpy.typing import NDArray

from common.files import replacing, scan_name, write_json
from common.metrics.choice import chosen_on
from common.metrics.scores import Scores, segmentation_scores
from common.metrics.summary import MEASURES, summarise

logger = logging.getLogger(__name__)


def _predictions_and_labels(output: Sequence[Mapping[str, Any]]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(item["pred"], item["label"]) for item in output]


def scan_ids(batch: Sequence[Mapping[str, Any]]) -> list[str]:
    """The id of each scan of a decollated batch: its ``scan``, or the name of the image's file where there is none."""
    return [item["scan"] if "scan" in item else scan_name(item["image"].meta["filename_or_obj"]) for item in batch]


class ScanMetrics:
    """Scores each scan of an evaluation, and writes ``metrics.csv`` and ``metrics.json`` after its epoch.

    ``metrics.csv`` has one row per scan and class, with an empty cell where a score is not defined; ``metrics.json``
    holds the result of :func:`common.metrics.summarise`; if ``split`` and ``checkpoint`` are given, also the split and
    ``checkpoint_chosen_on_this_split``, the result of :func:`common.metrics.chosen_on`, with a warning if it is true,
    since such scores are better than those on scans that decided nothing. The means over classes and scans are put into
    ``engine.state.metrics`` as well, where they are defined. With several processes, the scans of all of them are
    gathered, and the first process writes the files.

    Args:
        output_dir: Folder that the files are written to.
        labels: Name of each class by its value in the label map; the background is ignored. Keys may be strings, as in
            JSON.
        output_transform: Takes (prediction, label) of each scan from ``engine.state.output``: label maps
            ``[1, H, W, D]``, or one channel per class, background first. By default each item's ``pred`` and ``label``.
        scan_transform: Takes the id of each scan from ``engine.state.batch``. By default each item's ``scan``, or the
            name of the image's file where there is none.
        spacing: Size of a voxel along each axis in mm. By default that of the label's affine, or of the prediction's.
        split: Name of the cohort's split that the scans are from, if the checkpoint's choice is to be looked into.
        checkpoint: File of the weights that are evaluated, for the same purpose.

    Raises:
        ValueError: If ``labels`` names no class, or only one of ``split`` and ``checkpoint`` is given; during a run, if
            the log beside the checkpoint is damaged, a scan comes twice, a prediction and its label differ
            in shape, or the spacing is not known.
    """

    def __init__(
        self,
        output_dir: str | Path,
        labels: Mapping[int, str] | Mapping[str, str],
        output_transform: Callable[[Any], Sequence[tuple[torch.Tensor, torch.Tensor]]] = _predictions_and_labels,
        scan_transform: Callable[[Any], Sequence[str]] = scan_ids,
        spacing: Sequence[float] | None = None,
        *,
        split: str | None = None,
        checkpoint: str | Path | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.labels = {int(index): name for index, name in labels.items() if int(index) != 0}
        if not self.labels:
            raise ValueError(f"labels must name at least one class besides the background, got {dict(labels)}.")
        if (split is None) != (checkpoint is None):
            raise ValueError(f"split and checkpoint must be given together, got {split!r} and {checkpoint!r}.")
        self.origin = None if split is None or checkpoint is None else (split, checkpoint)
        self.facts: dict[str, Any] = {}
        self.output_transform = output_transform
        self.scan_transform = scan_transform
        self.spacing = spacing
        self.scores: dict[str, dict[str, Scores]] = {}

    def attach(self, engine: Engine) -> None:
        """Registers the handler: scores are computed after each iteration and written after the epoch.

        Handlers that report metrics after the epoch, such as MONAI's for TensorBoard and MLflow, see them if they are
        attached later.
        """
        engine.add_event_handler(Events.STARTED, self.reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.update)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def reset(self) -> None:
        """Forgets all scores, and looks into the checkpoint's choice."""
        self.scores = {}
        if self.origin is not None:
            self.facts = {"split": self.origin[0], "checkpoint_chosen_on_this_split": chosen_on(*self.origin)}

    def update(self, engine: Engine) -> None:
        """Scores the scans of one iteration."""
        pairs = self.output_transform(engine.state.output)
        for scan, (prediction, label) in zip(self.scan_transform(engine.state.batch), pairs, strict=True):
            if scan in self.scores:
                raise ValueError(f"scan {scan!r} came twice; the ids of the scans of an evaluation must be unique.")
            spacing = self.spacing or _spacing(scan, label, prediction)
            found, truth = _label_map(prediction), _label_map(label)
            if found.shape != truth.shape:
                raise ValueError(
                    f"scan {scan!r}: expected a prediction of shape {truth.shape} like its label, got {found.shape}."
                )
            self.scores[scan] = {
                name: segmentation_scores(found == index, truth == index, spacing)
                for index, name in self.labels.items()
            }

    def write(self, engine: Engine) -> None:
        """Writes the files and puts the means into ``engine.state.metrics``."""
        parts = cast(list[dict[str, dict[str, Scores]]], idist.all_gather(self.scores))
        scores = dict(sorted(ChainMap(*parts).items()))
        summary = summarise(scores)
        means = {measure: summary["mean"][measure]["mean"] for measure in MEASURES}
        engine.state.metrics.update({measure: mean for measure, mean in means.items() if mean is not None})
        if idist.get_rank() == 0:
            _write_csv(self.output_dir / "metrics.csv", scores)
            write_json(self.output_dir / "metrics.json", self.facts | summary)
            if self.facts.get("checkpoint_chosen_on_this_split"):
                logger.warning(
                    "THE CHECKPOINT WAS CHOSEN ON THESE SCANS: it is the best of several validations on the split %s, "
                    "so these scores are better than on other scans. Evaluate scans that decided nothing (--split "
                    "test), or train with a single validation at the end (--val_interval of at least max_iterations).",
                    self.facts["split"],
                )


def _label_map(volume: torch.Tensor) -> NDArray[np.generic]:
    plain = volume.detach().cpu()
    return np.asarray(plain[0] if plain.shape[0] == 1 else plain.argmax(dim=0))


def _spacing(scan: str, *volumes: torch.Tensor) -> list[float]:
    for volume in volumes:
        if isinstance(volume, MetaTensor):
            affine = np.asarray(volume.affine.cpu(), dtype=np.float64)
            return [float(length) for length in np.linalg.norm(affine[:3, :3], axis=0)]
    raise ValueError(f"scan {scan!r}: found no affine that tells the voxel spacing; pass `spacing` to ScanMetrics.")


def _write_csv(path: Path, scores: Mapping[str, Mapping[str, Scores]]) -> None:
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["scan", "class", *MEASURES, "missing"])
        for scan, classes in scores.items():
            for name, row in classes.items():
                numbers = [float(row[measure]) for measure in MEASURES]  # type: ignore[literal-required]
                cells = ["" if np.isnan(number) else f"{number:.6g}" for number in numbers]
                writer.writerow([scan, name, *cells, int(row["missing"])])
