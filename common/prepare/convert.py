"""Converts scans from elsewhere into a cohort."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from tqdm import tqdm

from common.cohort.check import grid_text
from common.cohort.cohort import Cohort, CohortError, write_datalist
from common.cohort.volumes import read_voxels, same_grid
from common.files import NIFTI_SUFFIXES, claim, write_nifti
from common.prepare.brain import BrainPreprocessing
from common.prepare.classes import Classes
from common.prepare.dicom import DicomSeries
from common.prepare.h5_files import H5Volume
from common.prepare.itk_images import itk, read_image
from common.prepare.resample import resample_image, resample_label
from common.prepare.splits import Splits

logger = logging.getLogger(__name__)

MOST_THREADS = 4
"""Number of scans that are converted at a time, at most: each of them is in memory meanwhile."""

Where = Path | DicomSeries | H5Volume
Loaded = tuple[np.ndarray, np.ndarray | None, np.ndarray]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Source:
    """A scan to convert.

    Attributes:
        id: Its id in the cohort.
        images: Its image: a file or DICOM series per channel, or one file with all channels.
        label: Its label, if there is one.
        channels: Number of channels in each file of ``images``; several lie along a fourth axis.
    """

    id: str
    images: tuple[Where, ...]
    label: Where | None = None
    channels: int = 1

    @property
    def item(self) -> dict[str, str]:
        """The scan's entry in the datalist."""
        item = {"image": f"images/{self.id}.nii.gz"}
        return item if self.label is None else {**item, "label": f"labels/{self.id}.nii.gz"}

    def settings(self) -> list[Any]:
        """What the scan is made from, in types that JSON knows."""
        places = [where for where in (*self.images, self.label) if where is not None]
        return [str(where.resolve()) if isinstance(where, Path) else str(where) for where in places]


@dataclass(frozen=True)
class Conversion:
    """How scans become those of a cohort.

    Attributes:
        classes: The classes, and the values that they have in the labels.
        spacing: Distance between voxels to resample to, in millimetres, for all axes or along those of RAS; None keeps
            the scans' own.
        preprocessing: What is done to skull-stripped scans before they are resampled; None for nothing.
    """

    classes: Classes
    spacing: float | Sequence[float] | None = None
    preprocessing: BrainPreprocessing | None = None

    def load(self, source: Source) -> Loaded:
        """A scan's image ``[H, W, D]`` or ``[H, W, D, C]``, its label if it has one, and the affine of both.

        Files whose axes are in another order or direction than the first image's are turned to it.

        Raises:
            CohortError: If files are missing, damaged or not as expected; names all problems.
        """
        problems: list[str] = []
        channels: list[np.ndarray] = []
        grid: tuple[Where, tuple[int, ...], np.ndarray] | None = None
        label = None
        for where in (*source.images, source.label):
            if where is None:
                continue
            is_label = where is source.label
            try:
                voxels, affine = _read(where, 1 if is_label else source.channels)
                if grid is None and not is_label:
                    grid = where, voxels.shape[:3], affine
                elif grid is not None:
                    voxels = _on_grid(voxels, affine, where, grid)
                if is_label:
                    label = self.classes.mapped(voxels, where)
                else:
                    _check_intensities(voxels, where)
                    channels.append(voxels)
            except (OSError, ValueError) as error:
                problems += str(error).splitlines()
        if problems or grid is None:
            raise CohortError(problems)
        image = channels[0] if len(channels) == 1 else np.stack(channels, axis=-1)
        first, _, affine = grid
        if self.preprocessing is not None:
            image, label, affine = self.preprocessing(image, label, affine, str(first))
        return image, label, affine

    def problems(self, source: Source) -> list[str]:
        """What is wrong with a scan."""
        try:
            self.load(source)
        except CohortError as error:
            return list(error.problems)
        return []

    def write(self, source: Source, folder: Path) -> None:
        """Writes a scan's image and label into the folder of a cohort."""
        write_scan(folder, source.item, *self.load(source), self.spacing)


def make_cohort(
    sources: Sequence[Source],
    splits: Splits,
    target: str | Path,
    conversion: Conversion,
    settings: Mapping[str, Any],
    *,
    name: str,
    channels: Sequence[str] = (),
    problems: Mapping[str, Sequence[str]] | None = None,
    skip_bad: bool = False,
    progress: bool = True,
) -> Cohort:
    """Checks all scans, then converts them, and writes the datalist; those that are there already are left alone.

    Args:
        sources: The scans.
        splits: Ids of the scans of each split; scans that are in none are left out.
        target: Folder of the new cohort.
        conversion: How the scans are converted.
        settings: Settings that decide the result besides those of the conversion.
        name: Name of the study.
        channels: Names of the channels, if they are known.
        problems: What is known to be wrong already, by the id of the scan or by a file.
        skip_bad: Whether to leave out scans with problems, with a warning, rather than to write nothing.
        progress: Whether to show progress bars.

    Raises:
        CohortError: If anything is wrong with any scan, or with all of them; it names everything, scan by scan, and
            nothing has been written.
        ValueError: If the target holds other files.
    """
    by_id = {source.id: source for source in sources}
    found = {key: list(lines) for key, lines in (problems or {}).items()}
    chosen = [by_id[key] for keys in splits.values() for key in keys if key in by_id and key not in found]
    if any(_needs_itk(where) for source in chosen for where in (*source.images, source.label) if where):
        itk()  # before threads would import it at the same time
    waiting = [source for source in chosen if not _is_there(source, Path(target))]
    wrong = _in_threads(conversion.problems, waiting, "check", progress)
    found |= {source.id: lines for source, lines in zip(waiting, wrong, strict=True) if lines}
    good = [source for source in chosen if source.id not in found]
    lines = [f"{key}: {line}" for key, lines in sorted(found.items()) for line in lines]
    if lines and not (skip_bad and good):
        raise CohortError(lines)
    record = {
        **settings,
        "spacing": conversion.spacing,
        "classes": conversion.classes.settings(),
        "splits": splits,
        "left out": sorted(found),
        "files": {source.id: source.settings() for source in good},
    }
    folder = claim(target, record)
    waiting = [source for source in waiting if source in good]
    _in_threads(lambda source: conversion.write(source, folder), waiting, str(settings["made by"]), progress)
    kept = {source.id: source.item for source in good}
    write_datalist(
        folder,
        name=name,
        labels=conversion.classes.names,
        splits={split: [kept[key] for key in keys if key in kept] for split, keys in splits.items()},
        channels=channels,
    )
    for line in lines:
        logger.warning("LEFT OUT %s", line)
    return Cohort.open(folder)


def write_scan(
    folder: Path,
    item: Mapping[str, str],
    image: np.ndarray,
    label: np.ndarray | None,
    affine: np.ndarray,
    spacing: float | Sequence[float] | None,
) -> None:
    """Writes an image and its label, if any, under an item's paths, resampled to a spacing if one is given.

    Args:
        folder: Folder of the cohort.
        item: Entry of the datalist.
        image: Image ``[H, W, D]`` or ``[H, W, D, C]``.
        label: Label map ``[H, W, D]``; None if there is none.
        affine: Matrix 4x4 from voxel indices to millimetres.
        spacing: Distance between voxels to resample to, in millimetres, for all axes or along those of RAS; None for
            the scan's own.
    """
    new_affine = affine
    if spacing is not None:
        if not isinstance(spacing, int | float):
            spacing = [spacing[int(axis)] for axis in io_orientation(affine)[:, 0]]
        channels = image if image.ndim == 4 else image[..., None]
        resampled = [resample_image(channel, affine, spacing) for channel in np.moveaxis(channels, -1, 0)]
        new_affine = resampled[0][1]
        image = np.stack([channel for channel, _ in resampled], axis=-1) if image.ndim == 4 else resampled[0][0]
        label = resample_label(label, affine, spacing)[0] if label is not None else None
    if label is not None:
        write_nifti(folder / item["label"], label, new_affine)
    write_nifti(folder / item["image"], _compact(image), new_affine)


def _is_there(source: Source, folder: Path) -> bool:
    return all((folder / path).is_file() for path in source.item.values())


def _in_threads(do: Callable[[Source], Result], sources: Sequence[Source], what: str, progress: bool) -> list[Result]:
    """The results of a function for each scan; compression, which takes longest, lets threads run at the same time."""
    with ThreadPoolExecutor(min(torch.get_num_threads(), MOST_THREADS)) as pool:
        results: Iterable[Result] = pool.map(do, sources)
        return list(tqdm(results, desc=what, unit="scan", total=len(sources), disable=not progress or not sources))


def _read(where: Where, channels: int) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(where, Path):
        return where.read()
    if _is_nifti(where):
        voxels, image = read_voxels(where, channels)
        return voxels, image.affine
    return read_image(where)


def _on_grid(
    voxels: np.ndarray, affine: np.ndarray, where: Where, grid: tuple[Where, tuple[int, ...], np.ndarray]
) -> np.ndarray:
    """The voxels with their axes in the order and direction of the scan's first image.

    Raises:
        ValueError: If they lie on another grid all the same.
    """
    first, shape, wanted = grid
    turn = ornt_transform(io_orientation(affine), io_orientation(wanted))
    affine = affine @ inv_ornt_aff(turn, voxels.shape[:3])
    voxels = apply_orientation(voxels, turn)
    if not same_grid(voxels.shape[:3], affine, shape, wanted):
        raise ValueError(
            f"{where}: expected the grid of {first}, {grid_text(shape, wanted)}, found "
            f"{grid_text(voxels.shape[:3], affine)}; resample it to the image."
        )
    return voxels


def _check_intensities(voxels: np.ndarray, where: Where) -> None:
    if wrong := voxels.size - np.count_nonzero(np.isfinite(voxels)):
        raise ValueError(f"{where}: expected finite intensities, found {wrong} NaN or infinite voxels.")


def _needs_itk(where: Where) -> bool:
    return isinstance(where, DicomSeries) or (isinstance(where, Path) and not _is_nifti(where))


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def _compact(voxels: np.ndarray) -> np.ndarray:
    """Makes integers that fit int16, as scanners write them, and everything else float32."""
    if voxels.dtype.kind in "iu" and voxels.size and voxels.min() >= -(2**15) and voxels.max() < 2**15:
        return voxels.astype(np.int16)
    return voxels.astype(np.float32)
