"""NIfTI files from elsewhere brought into a cohort's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common.cohort.errors import CohortError
from common.cohort.volumes import integer_labels, open_nifti, read_voxels, same_grid
from common.files import claim, write_nifti
from common.prepare.resample import resample_image, resample_label


@dataclass(frozen=True)
class Source:
    """A scan to be brought in: its id, image and, if there is one, label."""

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
    progress: bool = True,
) -> list[dict[str, str]]:
    """Converts scan by scan, skipping those that are done.

    Args:
        sources: the scans.
        target: folder of the cohort.
        settings: that decide on the result, beside the sources and the spacing.
        spacing: to resample to, in millimetres; None keeps the scans' own.
        merge_classes: make every foreground class 1.
        progress: show a progress bar.

    Returns:
        The datalist's items, in the order of the sources.

    Raises:
        CohortError: if files do not open, or labels lie on another grid; what the headers tell, before anything is
            written.
        ValueError: if the target holds anything else.
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
            _convert(source, folder, item, spacing, merge_classes)
    return items


def _convert(
    source: Source, folder: Path, item: Mapping[str, str], spacing: float | Sequence[float] | None, merge_classes: bool
) -> None:
    voxels, image = read_voxels(source.image)
    if not np.isfinite(voxels).all():
        raise CohortError([f"{source.image}: expected finite intensities, found NaN or infinite ones."])
    label = None
    if source.label:
        label = integer_labels(read_voxels(source.label)[0], source.label)
        label = (label > 0).astype(np.uint8) if merge_classes else label
    affine = image.affine
    if spacing is not None:
        voxels, affine = resample_image(voxels, image.affine, spacing)
        label = resample_label(label, image.affine, spacing)[0] if label is not None else None
    if label is not None:
        write_nifti(folder / item["label"], label, affine)
    write_nifti(folder / item["image"], _compact(voxels), affine)


def _compact(voxels: np.ndarray) -> np.ndarray:
    """Integers that fit stay int16, as scanners write them; everything else becomes float32."""
    if voxels.dtype.kind in "iu" and voxels.size and voxels.min() >= -(2**15) and voxels.max() < 2**15:
        return voxels.astype(np.int16)
    return voxels.astype(np.float32)


def _header_problems(source: Source) -> list[str]:
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
