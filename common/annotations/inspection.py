"""What the labels of a cohort hold, scan by scan."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from common import IGNORE_INDEX
from common.annotations.kinds import SPECK, AnnotatedPart, annotated_part, specks
from common.annotations.ledger import Ledger
from common.annotations.store import AnnotationStore
from common.cohort.check import SCORED, grid_text
from common.cohort.cohort import SPLITS, Cohort, Scan
from common.cohort.labels import label_problems, left_out
from common.cohort.volumes import integer_labels, open_nifti, read_voxels, same_grid, to_ras

MOST_THREADS = 4
"""Number of labels that are read at a time, at most."""


@dataclass(frozen=True)
class LabelReport:
    """What the label of one scan holds.

    Attributes:
        scan: The scan's id.
        split: Its split.
        part: Which voxels are annotated; None without a label, or if it cannot be read.
        voxels: Number of voxels of each class 1..K.
        classes: Names of the classes that were annotated; None for all.
        problems: What a training or evaluation refuses, one line each.
        hints: What may be meant, but is worth a look.
    """

    scan: str
    split: str
    part: AnnotatedPart | None
    voxels: dict[int, int]
    classes: tuple[str, ...] | None
    problems: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What is annotated, in words."""
        if self.part is None:
            return "unreadable" if self.problems else "no label"
        return self.part.text + ("" if self.classes is None else f", {' and '.join(self.classes)} only")

    def plain(self) -> dict[str, Any]:
        """The report in JSON's types."""
        content = vars(self) | {"voxels": {str(value): count for value, count in self.voxels.items()}}
        part = {} if self.part is None else vars(self.part) | {"kind": self.part.kind}
        return {key: list(it) if isinstance(it, tuple) else it for key, it in content.items()} | {"part": part or None}


def inspect_labels(cohort: Cohort, *, run: str | Path | None = None, progress: bool = True) -> list[LabelReport]:
    """Reads every label of a cohort, or every annotation of a run on it, and reports what it holds.

    Args:
        cohort: The cohort.
        run: Folder of a run, whose annotations are looked at instead.
        progress: Whether to show a progress bar.

    Returns:
        A report for each scan, or each annotated scan of the run, in the datalist's order.

    Raises:
        ValueError: If the run has no annotation of this cohort, or its ledger is damaged.
    """
    splits = {scan.id: split for split in SPLITS for scan in getattr(cohort, split)}
    scans = cohort.scans if run is None else tuple(scan for scan in of_run(cohort, run).training if scan.label)

    def look(scan: Scan) -> LabelReport:
        return _report(scan, splits[scan.id], cohort, turned=run is not None)

    with ThreadPoolExecutor(min(torch.get_num_threads(), MOST_THREADS)) as pool:
        return list(tqdm(pool.map(look, scans), desc="labels", unit="scan", total=len(scans), disable=not progress))


def of_run(cohort: Cohort, run: str | Path) -> Cohort:
    """A cohort whose training scans have the annotations of a run as their labels, and no others.

    They lie on the images' grids turned to RAS orientation.

    Args:
        cohort: The cohort of the run.
        run: Folder of the run.

    Raises:
        ValueError: If the run has no annotation of a training scan, or its ledger is damaged.
    """
    ledger, store = Ledger(run), AnnotationStore(run)
    if not any(ledger.is_labelled(scan.id) for scan in cohort.training):
        raise ValueError(
            f"{ledger.path}: expected annotations of training scans of {cohort.folder}, found none; give the folder of "
            "a run on this cohort."
        )
    partial = ledger.partial_classes
    training = (
        replace(
            scan,
            label=store.path("annotation", scan.id) if ledger.is_labelled(scan.id) else None,
            annotated_classes=partial.get(scan.id),
        )
        for scan in cohort.training
    )
    return replace(cohort, training=tuple(training))


def _report(scan: Scan, split: str, cohort: Cohort, *, turned: bool) -> LabelReport:
    names = None
    if scan.annotated_classes is not None:
        names = tuple(cohort.labels[number] for number in scan.annotated_classes)
    empty = LabelReport(scan.id, split, None, {}, names)
    if scan.label is None:
        missing = f"{scan.image}: expected a label, which validation needs, found none; add it, or move the scan."
        return replace(empty, problems=(missing,) if split == "validation" else ())
    try:
        voxels, file = read_voxels(scan.label)
        problems = _grid_problems(scan, voxels, file.affine, turned=turned)
    except (OSError, ValueError) as error:
        return replace(empty, problems=(str(error),))
    problems += label_problems(voxels, scan, cohort.labels)
    try:
        label = np.ascontiguousarray(to_ras(integer_labels(voxels, scan.label), file.affine)[0])
    except ValueError:
        return replace(empty, problems=tuple(problems))  # which name these values
    hints = []
    if lacking := left_out(label, scan, cohort.labels):
        line = f"{scan.label}: expected a dense label of all classes, found {lacking}; {SCORED}."
        if split == "validation":
            problems.append(line)
        elif split == "test":
            hints.append(line)
    if number := specks(label):
        what = f"{number} speck{'s' * (number > 1)} of less than {SPECK} voxels"
        hints.append(f"{scan.label}: {what}; look whether this is meant.")
    counts = np.bincount(label.ravel(), minlength=IGNORE_INDEX + 1).tolist()
    found = {value: counts[value] for value in cohort.labels}
    return replace(empty, part=annotated_part(label), voxels=found, problems=tuple(problems), hints=tuple(hints))


def _grid_problems(scan: Scan, voxels: np.ndarray, affine: np.ndarray, *, turned: bool) -> list[str]:
    image = open_nifti(scan.image)
    shape, wanted = image.shape[:3], image.affine
    if turned:
        array, wanted = to_ras(np.broadcast_to(np.uint8(0), shape), wanted)
        shape = array.shape
    if same_grid(shape, wanted, voxels.shape, affine):
        return []
    return [
        f"{scan.label}: expected the grid of {scan.image.name}, {grid_text(shape, wanted)}, found "
        f"{grid_text(voxels.shape, affine)}; resample the label to the image."
    ]
