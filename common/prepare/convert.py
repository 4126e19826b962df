"""Converts NIfTI files from elsewhere into the files of a cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common.cohort.cohort import CohortError
from common.cohort.volumes import integer_labels, open_nifti, read_voxels, same_grid
from common.files import claim, write_nifti
from common.prepare.brain import BrainPreprocessing
from common.prepare.resample import resample_image, resample_label


@dataclass(frozen=True)
class Source:
    """The files of a scan to convert: its id in the cohort, its image and, if there is one, its label."""

    id: str
    image: Path
    label: Path | None = None


def convert_all(
    sources: Sequence[Source],
    target: str | Path,
    settings: Mapping[str, Any],
    *,
    spacing: float | Sequence[float] | None = None,
    merge_classes: bool = False,
    preprocessing: BrainPreprocessing | None = None,
    progress: bool = True,
) -> list[dict[str, str]]:
    """Converts scans one after another, skipping those that are there already.

    Args:
        sources: Scans to convert.
        target: Folder of the new cohort.
        settings: Settings that decide the result besides the sources and the spacing, the preprocessing's among them.
        spacing: Distance between voxels to resample to, in millimetres; None keeps the scans' own.
        merge_classes: Whether every foreground class becomes 1.
        preprocessing: What is done to skull-stripped scans before they are resampled; None for nothing.
        progress: Whether to show a progress bar.

    Returns:
        The datalist's items, in the order of the sources.

    Raises:
        CohortError: If files do not open or labels lie on another grid; problems that headers show are raised before
            anything is written.
        ValueError: If the target holds other files.
    """
    problems = [problem for source in sources for problem in _header_problems(source)]
    if problems:
        raise CohortError(problems)
    files = [[str(path.resolve()) for path in (source.image, source.label) if path] for source in sources]
    folder = claim(target, {**settings, "spacing": spacing, "files": files})
    items = []
    for source in tqdm(sources, desc=str(settings["made by"]), unit="scan", disable=not progress):
        item = {"image": f"images/{source.id}.nii.gz"}
        if source.label:
            item["label"] = f"labels/{source.id}.nii.gz"
        items.append(item)
        if not all((folder / path).is_file() for path in item.values()):
            _convert(source, folder, item, spacing, merge_classes, preprocessing)
    return items


def _convert(
    source: Source,
    folder: Path,
    item: Mapping[str, str],
    spacing: float | Sequence[float] | None,
    merge_classes: bool,
    preprocessing: BrainPreprocessing | None,
) -> None:
    voxels, image = read_voxels(source.image)
    if not np.isfinite(voxels).all():
        raise CohortError([f"{source.image}: expected finite intensities, found NaN or infinite ones."])
    label = None
    if source.label:
        label = integer_labels(read_voxels(source.label)[0], source.label)
        label = (label > 0).astype(np.uint8) if merge_classes else label
    affine = image.affine
    if preprocessing is not None:
        voxels, label, affine = preprocessing(voxels, label, affine, source.image)
    write_scan(folder, item, voxels, label, affine, spacing)


def write_scan(
    folder: Path,
    item: Mapping[str, str],
    image: np.ndarray,
    label: np.ndarray | None,
    affine: np.ndarray,
    spacing: float | Sequence[float] | None,
) -> None:
    """Writes an image and its label, if any, under an item's paths, resampled to a spacing if one is given."""
    new_affine = affine
    if spacing is not None:
        image, new_affine = resample_image(image, affine, spacing)
        label = resample_label(label, affine, spacing)[0] if label is not None else None
    if label is not None:
        write_nifti(folder / item["label"], label, new_affine)
    write_nifti(folder / item["image"], _compact(image), new_affine)


def _compact(voxels: np.ndarray) -> np.ndarray:
    """Makes integers that fit int16, as scanners write them, and everything else float32."""
    if voxels.dtype.kind in "iu" and voxels.size and voxels.min() >= -(2**15) and voxels.max() < 2**15:
        return voxels.astype(np.int16)
    return voxels.astype(np.float32)


def _header_problems(source: Source) -> list[str]:
    """What is wrong with a scan's files as far as their headers show."""
    found, grids = [], []
    for path in (source.image, source.label):
        try:
            grids += [open_nifti(path)] if path else []
        except (FileNotFoundError, ValueError) as error:
            found.append(str(error))
    if len(grids) == 2:
        image, label = grids
        if not same_grid(image.shape[:3], image.affine, label.shape[:3], label.affine):
            found.append(
                f"{source.label}: expected the grid of {source.image}, found another; resample it to the image."
            )
    return found
