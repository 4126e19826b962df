"""A folder of pseudo-labels with their confidence: written scan by scan, then read by a training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import IGNORE_INDEX
from common.annotations.store import AnnotationStore
from common.cohort.cohort import Scan
from common.cohort.volumes import read_labels_ras
from common.files import read_json, write_json, write_nifti

INDEX = "pseudo_labels.json"
VERSION = 1


class PseudoLabelFolder:
    """Pseudo-labels, confidence maps and their index `pseudo_labels.json`.

    The index is `{"version": 1, "made_by": {…}, "scans": {ID: {"confidence": 0..1, "label": FILE, "confidence_map":
    FILE}}}`. Files are RAS-oriented NIfTI: labels uint8, maps uint8 with 255 for a confidence of 1. A scan is in the
    index when its files are complete.

    Args:
        folder: The folder, which is made when the first label is written.
        made_by: The settings that the labels depend on; a folder with labels made by others is refused.

    Raises:
        ValueError: If the folder's labels were made with other settings, or its index is damaged.
    """

    def __init__(self, folder: str | Path, made_by: dict[str, Any] | None = None) -> None:
        self.folder = Path(folder)
        self.scans: dict[str, dict[str, Any]] = {}
        self.made_by = made_by
        index = self.folder / INDEX
        if not index.is_file():
            return
        content = read_json(index)
        if content.get("version") != VERSION:
            raise ValueError(f"{index}: expected version {VERSION}, found {content.get('version')!r}.")
        self.scans = content["scans"]
        if made_by is not None and self.scans and content.get("made_by") != made_by:
            raise ValueError(
                f"{index}: its labels were made with {content.get('made_by')}, now it is {made_by}; "
                "use another folder, or delete this one to make them again."
            )

    def add(self, scan: str, label: np.ndarray, confidence_map: np.ndarray, affine: np.ndarray, score: float) -> None:
        """Writes one scan's files, then the index.

        Args:
            scan: The scan's id.
            label: Label map, uint8 `[H, W, D]` in RAS orientation.
            confidence_map: Confidence of each voxel, float `[H, W, D]` in 0..1.
            affine: Affine of that grid, 4x4.
            score: Confidence of the whole scan, 0..1.
        """
        files = {"label": f"labels/{scan}.nii.gz", "confidence_map": f"confidence/{scan}.nii.gz"}
        write_nifti(self.folder / files["label"], label, affine)
        write_nifti(self.folder / files["confidence_map"], np.round(255 * confidence_map).astype(np.uint8), affine)
        self.scans[scan] = {"confidence": round(score, 6), **files}
        write_json(self.folder / INDEX, {"version": VERSION, "made_by": self.made_by, "scans": self.scans})

    def label(self, scan: str, threshold: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """A scan's label, 255 where the confidence is below a threshold, and its affine."""
        label, affine = read_labels_ras(self.folder / self.scans[scan]["label"])
        label = np.array(label)
        if threshold > 0:
            sure, _ = read_labels_ras(self.folder / self.scans[scan]["confidence_map"])
            label[sure < 255 * threshold] = IGNORE_INDEX
        return label, affine


def most_confident(
    folder: str | Path, scans: Sequence[Scan], *, share: float = 1.0, missing: str = "refuse"
) -> dict[str, float]:
    """Chooses the scans with the most confident pseudo-labels of a folder; all of them by default, as in SFR.

    SFR+ (IEEE TMI 2025, section III-C) takes those whose confidence reaches a threshold; the share is ours.

    Args:
        folder: Folder of a `PseudoLabelFolder`.
        scans: The scans that should have a pseudo-label.
        share: Share of them that is chosen; at least one scan.
        missing: "refuse", or "skip" to do without the scans that have no pseudo-label.

    Returns:
        The confidence of each chosen scan, the most confident first.

    Raises:
        FileNotFoundError: If the folder has no index.
        ValueError: If a setting makes no sense, or scans have no pseudo-label; the message names them.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in 0..1 and not be 0, got {share}")
    if missing not in ("refuse", "skip"):
        raise ValueError(f"missing must be refuse or skip, got {missing!r}")
    if not (Path(folder) / INDEX).is_file():
        raise FileNotFoundError(f"{folder}: expected a folder of pseudo-labels with {INDEX}, found none")
    found = PseudoLabelFolder(folder).scans
    lacking = [scan.id for scan in scans if scan.id not in found]
    if lacking and missing == "refuse":
        raise ValueError(
            f"{folder}: expected a pseudo-label of each unlabelled scan, found none of {', '.join(lacking)}; make "
            "them, or do without by missing 'skip'."
        )
    confident = {scan.id: float(found[scan.id]["confidence"]) for scan in scans if scan.id in found}
    number = max(1, round(share * len(confident)))
    return dict(sorted(confident.items(), key=lambda item: (-item[1], item[0]))[:number])


def take_pseudo_labels(
    folder: str | Path, scans: Iterable[str], *, store: AnnotationStore, threshold: float = 0.0
) -> None:
    """Copies pseudo-labels of a folder to where training reads them.

    Args:
        folder: Folder of a `PseudoLabelFolder`.
        scans: Ids of the scans, see :func:`most_confident`.
        store: Store that gets them as kind "pseudo_label".
        threshold: Confidence below which a voxel becomes 255, 0 to 1.

    Raises:
        ValueError: If the threshold is out of its range.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must lie in 0..1, got {threshold}")
    found = PseudoLabelFolder(folder)
    for scan in scans:
        label, affine = found.label(scan, threshold)
        store.write("pseudo_label", scan, label, affine)
