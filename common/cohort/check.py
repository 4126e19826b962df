"""Checks every file of a cohort before anything is trained on it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.cohort.cohort import Cohort, CohortError, Scan
from common.cohort.duplicates import duplicate_problems
from common.cohort.labels import label_problems, left_out
from common.cohort.volumes import read_voxels, same_grid, spacing, to_ras

logger = logging.getLogger(__name__)

LARGEST = 1e18
"""Greatest size of an intensity: normalisation squares them, in float32."""

LONGEST_NAME = 220
"""Bytes of the longest id of a scan: file systems take names of 255, and the run's files add to the id."""

SCORED = "scores need the whole scan: move the scan to training, or take the label out of the datalist"
"""Remedy for a sparse label that predictions would be compared with."""

SIMULATED = "train on the labels as they are (--annotator datalist)"
"""Remedy for a sparse label out of which annotations would be cut."""

SPACING_TOLERANCE = 0.1
"""Share by which a scan's spacing may differ from the cohort's median."""


def check_cohort(
    cohort: Cohort,
    *,
    channels: int = 1,
    simulated: bool = False,
    evaluated: str = "validation",
    progress: bool = True,
) -> None:
    """Reads every file of a cohort once and reports everything that is wrong with any of them.

    Args:
        cohort: The cohort to check.
        channels: Number of channels of the images; several lie along a fourth axis.
        simulated: Whether training scans need a dense label too, because annotators are simulated.
        evaluated: Split whose labels predictions are compared with, so that they must be dense and of all classes.
        progress: Whether to show a progress bar.

    Raises:
        CohortError: If anything is wrong; see :func:`common.cohort.check.problems`.
    """
    if found := problems(cohort, channels=channels, simulated=simulated, evaluated=evaluated, progress=progress):
        raise CohortError(found)


def problems(
    cohort: Cohort,
    *,
    channels: int = 1,
    simulated: bool = False,
    evaluated: str = "validation",
    progress: bool = True,
) -> list[str]:
    """Everything that is wrong with a cohort's files, one line per problem: the file, what was expected and found.

    Problems are files that are missing, truncated or not NIfTI; images that are not 3D, have another number of
    channels, or hold NaN, infinite or too large values; labels on another grid than the image, without foreground, or
    with values other than the declared classes and 255; labels that must be dense and are not; scans that need a label
    and have none; scans whose spacing differs from that of the others; one image in two splits; ids too long for the
    names of files. Only one volume at a time is in memory. An image whose voxels are all equal is warned of.

    Args:
        cohort: The cohort to check.
        channels: Number of channels of the images; several lie along a fourth axis.
        simulated: Whether training scans need a dense label too, because annotators are simulated.
        evaluated: Split whose labels predictions are compared with, so that they must be dense and of all classes.
        progress: Whether to show a progress bar.
    """
    found: list[str] = []
    grids: dict[str, _Grid] = {}
    needed = {scan.id for scan in cohort.validation + (cohort.training if simulated else ())}
    dense = {scan.id: SCORED for scan in getattr(cohort, evaluated)}
    dense |= {scan.id: SIMULATED for scan in cohort.training if simulated}
    for scan in tqdm(cohort.scans, desc="check", unit="scan", disable=not progress):
        grid = _Grid()
        found += name_problems(scan.id, scan.image)
        found += _attempt(_image_problems, scan.image, grid, channels)
        if scan.label is not None:
            found += _attempt(_label_problems, scan.label, grid, scan, cohort, dense.get(scan.id))
        elif scan.id in needed:
            people = " (or have people draw: annotator folder)" if scan in cohort.training else ""
            found.append(
                f"{scan.image}: expected a label in the datalist, found none; add it, or move the scan{people}."
            )
        if grid.shape:
            grids[scan.id] = grid
    return found + _spacing_problems(cohort, grids) + duplicate_problems(cohort)


def name_problems(scan_id: str, image: Path) -> list[str]:
    """What is wrong with the id of a scan, after which the files of a run are named."""
    size = len(scan_id.encode())
    if size <= LONGEST_NAME:
        return []
    return [
        f"{image}: expected a file name of at most {LONGEST_NAME} bytes without its ending, found {size}; rename it, "
        "since the files of a run are named after it."
    ]


def image_problems(path: Path, *, channels: int = 1) -> list[str]:
    """Everything that is wrong with the file of one image; see :func:`problems`."""
    return _attempt(_image_problems, path, _Grid(), channels)


@dataclass
class _Grid:
    shape: tuple[int, ...] = ()
    affine: np.ndarray = field(default_factory=lambda: np.eye(4))


def _attempt(look, *arguments) -> list[str]:  # type: ignore[no-untyped-def]
    try:
        return look(*arguments)
    except (OSError, ValueError) as error:
        return [str(error)]


def _image_problems(path: Path, grid: _Grid, channels: int) -> list[str]:
    voxels, image = read_voxels(path, channels)
    grid.shape, grid.affine = voxels.shape[:3], image.affine
    wrong = int(np.count_nonzero(~np.isfinite(voxels))) if voxels.dtype.kind == "f" else 0
    if wrong:
        return [
            f"{path}: expected finite intensities, found {wrong} NaN or infinite voxels; repair or remove the scan."
        ]
    least, greatest = float(voxels.min()), float(voxels.max())
    if max(-least, greatest) > LARGEST:
        return [
            f"{path}: expected intensities of at most {LARGEST:g} in size, which can be normalised in float32, found "
            f"{least:g} to {greatest:g}; rescale or remove the scan."
        ]
    if least == greatest:
        logger.warning("%s: ALL VOXELS ARE %g: nothing can be seen in this image; look at it.", path, least)
    return []


def _label_problems(path: Path, grid: _Grid, scan: Scan, cohort: Cohort, dense: str | None) -> list[str]:
    voxels, label = read_voxels(path)
    found = []
    if grid.shape and not same_grid(grid.shape, grid.affine, voxels.shape, label.affine):
        found.append(
            f"{path}: expected the grid of {scan.image.name}, {grid_text(grid.shape, grid.affine)}, "
            f"found {grid_text(voxels.shape, label.affine)}; resample the label to the image."
        )
    found += label_problems(voxels, scan, cohort.labels)
    if dense and (lacking := left_out(voxels, scan, cohort.labels)):
        found.append(f"{path}: expected a dense label of all classes, found {lacking}; {dense}.")
    return found


def _spacing_problems(cohort: Cohort, grids: dict[str, _Grid]) -> list[str]:
    if not grids:
        return []
    spacings = {}
    for scan_id, grid in grids.items():
        spacings[scan_id] = spacing(to_ras(np.empty(grid.shape, bool), grid.affine)[1])
    usual = np.median(list(spacings.values()), axis=0)
    return [
        f"{cohort.scan(scan_id).image}: expected a spacing like the other scans', {_millimetres(usual)}, "
        f"found {_millimetres(own)}; resample the cohort (python -m common prepare folder --spacing …)."
        for scan_id, own in spacings.items()
        if (abs(own / usual - 1) > SPACING_TOLERANCE).any()
    ]


def _millimetres(values: np.ndarray) -> str:
    return " × ".join(f"{value:.4g}" for value in values) + " mm"


def grid_text(shape: tuple[int, ...], affine: np.ndarray) -> str:
    """Size, spacing and origin of a grid in words."""
    size = " × ".join(map(str, shape))
    origin = ", ".join(f"{value:.4g}" for value in affine[:3, 3])
    return f"{size} voxels of {_millimetres(spacing(affine))} from ({origin})"
