"""Reads a cohort's fingerprint from its files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from nibabel.orientations import io_orientation
from numpy.typing import NDArray
from tqdm import tqdm

from common import IGNORE_INDEX
from common.cohort.check import grid_text
from common.cohort.cohort import DATALIST, Cohort, CohortError, Scan
from common.cohort.memory import images_size
from common.cohort.volumes import integer_labels, open_nifti, read_voxels, same_grid, spacing, to_ras
from common.files import read_json
from common.plan.fingerprint import Fingerprint, Triple
from common.plan.modality import guess_modality

MOST_VOXELS = 1_000_000_000
"""Numbers that are read of a cohort's images, about: those of all scans, or of some that are spread over the cohort."""

FEWEST_SCANS = 8
"""Number of scans that are read however large they are, if there are as many."""

SAMPLES = 10_000
"""Number of foreground intensities that are kept of a scan."""

MOST_THREADS = 4
"""Number of scans that are read at a time, at most."""

FEWEST_PAIRS = 3
"""Number of scans with two classes from which on an order of these is believed."""


@dataclass(frozen=True)
class _Look:
    """What is seen in a scan's voxels; the last three are by class, and empty without a label."""

    background: float
    corner: float
    intensities: tuple[float, float]
    sparse: bool
    foreground: NDArray[np.floating]
    volumes: dict[int, float]
    centres: dict[int, NDArray[np.floating]]
    greys: dict[int, tuple[float, float]]


def read_fingerprint(cohort: Cohort, *, modality: str | None = None, progress: bool = True) -> Fingerprint:
    """Reads the headers of all training scans, and the voxels of as many as are needed.

    Args:
        cohort: The cohort.
        modality: ``ct``, ``mr`` or ``other`` if it is known; otherwise it is guessed.
        progress: Whether to show a progress bar.

    Raises:
        CohortError: If there is no training scan, a file cannot be read, or scans differ in their channels; names all
            problems.
    """
    if not cohort.training:
        raise CohortError([f"{cohort.folder}: expected scans for training in {DATALIST}, found none."])
    shapes, spacings, channels = _headers(cohort)
    chosen = _spread(cohort.training, [math.prod(shape) * channels for shape in shapes])
    looks = _looks(chosen, channels, progress=progress)
    ranges = [look.intensities for look in looks]
    given = read_json(cohort.folder / DATALIST).get("modality") or {}
    names = [str(name) for name in (given.values() if isinstance(given, dict) else [])]
    found, reason = guess_modality(names, ranges)
    if modality is not None:
        found, reason = modality, "given as --modality"
    foreground = np.concatenate([look.foreground for look in looks])
    volumes = {
        value: float(np.median([look.volumes[value] for look in looks if value in look.volumes]))
        for value in cohort.labels
        if any(value in look.volumes for look in looks)
    }
    return Fingerprint(
        classes=cohort.labels,
        channels=channels,
        training=len(cohort.training),
        validation=len(cohort.validation),
        test=len(cohort.test),
        labelled=sum(scan.label is not None for scan in cohort.training),
        spacings=spacings,
        sizes=shapes,
        read=len(looks),
        sparse=sum(look.sparse for look in looks),
        modality=found,
        modality_reason=reason,
        window=_window(foreground),
        background=float(np.median([look.background for look in looks])),
        empty_is_zero=all(look.corner == 0 for look in looks),
        volumes_mm3=volumes,
        directed=_directed(looks),
        image_bytes=images_size(scan.image for scan in cohort.training),
    )


def _headers(cohort: Cohort) -> tuple[list[Triple], list[Triple], int]:
    """Sizes and spacings of the training scans along the axes of RAS, and the number of channels of all scans."""
    shapes: list[Triple] = []
    spacings: list[Triple] = []
    channels: dict[str, int] = {}
    problems = []
    for scan in cohort.scans:
        try:
            image = open_nifti(scan.image)
            shape = [*image.shape, 1, 1, 1][: max(4, image.ndim)]
            while len(shape) > 4 and shape[-1] == 1:
                shape.pop()
            if len(shape) > 4:
                raise ValueError(f"{scan.image}: expected a volume, or one with channels, found shape {image.shape}.")
            order = np.argsort(io_orientation(image.affine)[:, 0])
        except (OSError, ValueError) as error:
            problems.append(str(error))
            continue
        channels[str(scan.image)] = shape[3]
        if scan in cohort.training:
            shapes.append(_triple(np.array(shape[:3])[order]))
            spacings.append(_triple(spacing(image.affine)[order]))
    counts = list(channels.values())
    usual = max(counts, key=counts.count, default=1)
    problems += [
        f"{path}: expected {usual} channels, as most scans have, found {count}; prepare them with the same --channels, "
        "or leave it out."
        for path, count in channels.items()
        if count != usual
    ]
    if problems:
        raise CohortError(problems)
    return shapes, spacings, usual


def _spread(scans: Sequence[Scan], voxels: Sequence[int | float]) -> list[Scan]:
    """As many scans as may be read, evenly spread over the cohort's order."""
    number = max(FEWEST_SCANS, int(MOST_VOXELS / np.mean(voxels)))
    if number >= len(scans):
        return list(scans)
    return [scans[place] for place in np.linspace(0, len(scans) - 1, number).round().astype(int)]


def _looks(scans: Sequence[Scan], channels: int, *, progress: bool) -> list[_Look]:
    problems: list[str] = []

    def look(scan: Scan) -> _Look | None:
        try:
            return _look(scan, channels)
        except (OSError, ValueError) as error:
            problems.append(str(error))
            return None

    with ThreadPoolExecutor(min(torch.get_num_threads(), MOST_THREADS)) as pool:
        found = list(tqdm(pool.map(look, scans), desc="plan", unit="scan", total=len(scans), disable=not progress))
    if problems:
        raise CohortError(sorted(problems))
    return [it for it in found if it is not None]


def _look(scan: Scan, channels: int) -> _Look:
    voxels, image = read_voxels(scan.image, channels)
    first = voxels[..., 0] if channels > 1 else voxels
    least, greatest = float(first.min()), float(first.max())
    if not math.isfinite(greatest - least):
        raise ValueError(f"{scan.image}: expected finite intensities, found NaN or infinite ones; repair the scan.")
    background, corner = _background(voxels), float(first[0, 0, 0])
    if scan.label is None:
        return _Look(background, corner, (least, greatest), False, np.empty(0), {}, {}, {})
    values, opened = read_voxels(scan.label)
    if not same_grid(first.shape, image.affine, values.shape, opened.affine):
        raise ValueError(
            f"{scan.label}: expected the grid of {scan.image.name}, {grid_text(first.shape, image.affine)}, found "
            f"{grid_text(values.shape, opened.affine)}; resample the label to the image."
        )
    label, affine = to_ras(integer_labels(values, scan.label), opened.affine)
    grey, _ = to_ras(first, image.affine)
    inside = np.nonzero((label > 0) & (label != IGNORE_INDEX))
    classes, intensities = label[inside], grey[inside].astype(float)
    places = np.stack(inside, axis=1) * spacing(affine)
    there = np.unique(classes).tolist()
    sparse = bool((label == IGNORE_INDEX).any())
    voxel = float(np.prod(spacing(affine)))
    return _Look(
        background,
        corner,
        (least, greatest),
        sparse,
        intensities[:: max(1, len(intensities) // SAMPLES)],
        {} if sparse else {value: voxel * np.count_nonzero(classes == value) for value in there},
        {value: places[classes == value].mean(axis=0) for value in there},
        {value: (intensities[classes == value].mean(), intensities[classes == value].std()) for value in there},
    )


def _background(voxels: NDArray[np.generic]) -> float:
    """Share of voxels with the value that all corners have; 0 where these differ."""
    channels = voxels if voxels.ndim == 4 else voxels[..., None]
    corners = channels[np.ix_(*[(0, -1)] * 3)]
    if (corners != corners[0, 0, 0]).any():
        return 0.0
    return float((channels == corners[0, 0, 0]).all(axis=3).mean())


def _window(foreground: NDArray[np.floating]) -> tuple[float, float, float, float] | None:
    if not foreground.size or foreground.std() == 0:
        return None
    low, high = np.percentile(foreground, [0.5, 99.5])
    return float(low), float(high), float(foreground.mean()), float(foreground.std())


def _directed(looks: Sequence[_Look]) -> tuple[int, ...]:
    """Axes along which two classes lie in the same order in all scans, and their intensities do not tell them apart."""
    axes: set[int] = set()
    values = sorted({value for look in looks for value in look.centres})
    for place, one in enumerate(values):
        for other in values[place + 1 :]:
            both = [look for look in looks if one in look.centres and other in look.centres]
            if len(both) < FEWEST_PAIRS or not _alike(both, one, other):
                continue
            ways = np.sign([look.centres[other] - look.centres[one] for look in both])
            axes |= set(np.flatnonzero(abs(ways.sum(axis=0)) == len(both)).tolist())
    return tuple(sorted(axes))


def _alike(looks: Sequence[_Look], one: int, other: int) -> bool:
    """Whether the mean intensities of two classes differ by less than these vary within a class, in most scans."""
    apart = [abs(look.greys[one][0] - look.greys[other][0]) for look in looks]
    within = [max(look.greys[one][1], look.greys[other][1]) for look in looks]
    return bool(np.median(np.subtract(apart, within)) < 0)


def _triple(values: NDArray[np.generic]) -> Triple:
    first, second, third = (float(value) for value in values)
    return first, second, third
