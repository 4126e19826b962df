"""Says in a few lines what a cohort holds."""

from __future__ import annotations

from collections import Counter

import numpy as np
from nibabel.orientations import io_orientation
from tqdm import tqdm

from common import IGNORE_INDEX
from common.cohort.cohort import DATALIST, Cohort
from common.cohort.volumes import integer_labels, open_nifti, read_voxels, spacing
from common.files import read_json


def summary(cohort: Cohort, *, progress: bool = True) -> str:
    """Numbers of scans, their sizes and spacings along the axes of RAS, channels and labels, a line each.

    Reads the headers of the images, and the labels.

    Args:
        cohort: The cohort.
        progress: Whether to show a progress bar.

    Raises:
        FileNotFoundError, ValueError: If a file cannot be read.
    """
    sizes, spacings = [], []
    voxels: Counter[int] = Counter()
    scans: Counter[int] = Counter()
    for scan in tqdm(cohort.scans, desc="summary", unit="scan", disable=not progress):
        image = open_nifti(scan.image)
        order = np.argsort(io_orientation(image.affine)[:, 0])
        sizes.append(np.array(image.shape[:3])[order])
        spacings.append(spacing(image.affine)[order])
        if scan.label is not None:
            counted = np.bincount(integer_labels(read_voxels(scan.label)[0], scan.label).ravel())
            present = {value: int(count) for value, count in enumerate(counted) if count}
            scans.update(present.keys())
            voxels.update(present)
    counts = f"{len(cohort.training)} training, {len(cohort.validation)} validation, {len(cohort.test)} test scans"
    lines = [
        f"{cohort.folder}: {cohort.name}, {counts}.",
        f"  size (R, A, S): {_range(sizes)} voxels",
        f"  spacing (R, A, S): {_range(spacings)} mm",
    ]
    if channels := read_json(cohort.folder / DATALIST).get("modality"):
        lines.append(f"  channels: {', '.join(channels.values())}")
    labelled = sum(scan.label is not None for scan in cohort.scans)
    lines.append(f"  labels: {labelled} of {len(cohort.scans)} scans")
    total = sum(voxels.values())
    for value, name in (*cohort.labels.items(), (IGNORE_INDEX, "not annotated")):
        if labelled and (scans[value] or value in cohort.labels):
            share = 100 * voxels[value] / total
            lines.append(f"    {value} {name}: in {scans[value]} scans, {share:.3g} % of their voxels")
    return "\n".join(lines)


def _range(rows: list[np.ndarray]) -> str:
    """The least and greatest number along each axis."""
    pairs = zip(np.min(rows, axis=0), np.max(rows, axis=0), strict=True)
    return " × ".join(f"{low:.4g}" if np.isclose(low, high) else f"{low:.4g} to {high:.4g}" for low, high in pairs)
