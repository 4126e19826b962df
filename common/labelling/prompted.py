"""Masks of an object on some slices of a scan, by a generalist that an annotator points with a box and points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from common.generalists.generalist import Generalist
from common.generalists.prompts import Prompts

GUESSED_MM = (4.0, 8.0, 16.0, 32.0)
"""Distances from the points to the sides of the boxes that are tried where no box is drawn."""

SURE, POSSIBLE = 0.8, 0.2
"""Probabilities between which a mask's border must not move far to count as stable."""

Voxel = Sequence[float]


@dataclass(frozen=True)
class Plane:
    """A slice of a voxel array.

    Attributes:
        axis: Axis along which slices are counted, 0 to 2.
        index: Index along that axis.
    """

    axis: int
    index: int

    def flat(self, voxel: Voxel) -> tuple[float, float]:
        """The (x, y) of a voxel on the slice: its column and row."""
        row, column = (float(it) for axis, it in enumerate(voxel) if axis != self.axis)
        return column, row

    def holds(self, voxel: Voxel) -> bool:
        """Whether the slice passes through a voxel."""
        return round(float(voxel[self.axis])) == self.index


def prompted_mask(
    generalist: Generalist,
    voxels: np.ndarray,
    spacing: Sequence[float],
    planes: Iterable[Plane],
    *,
    foreground: Sequence[Voxel] = (),
    background: Sequence[Voxel] = (),
    box: Sequence[float] | None = None,
) -> np.ndarray:
    """Segments one object on slices of a scan.

    On each slice the object is prompted by the points that lie on it and by the part of the box that it cuts. Where
    there are points inside the object and no box, boxes of several sizes around the points are tried, and the mask is
    taken whose border moves least with the threshold.

    Args:
        generalist: The promptable model.
        voxels: The scan ``[H, W, D]``.
        spacing: Size of its voxels along each axis, in millimetres.
        planes: The slices. Those without a prompt stay empty.
        foreground: Voxels (i, j, k) in the object.
        background: Voxels (i, j, k) outside the object.
        box: Box around the object, (i0, j0, i1, j1, k0, k1) in voxels, half-open.

    Returns:
        The object, uint8 ``[H, W, D]``: 1 inside, 0 elsewhere.

    Raises:
        ValueError: If no slice has a prompt, or a prompt lies outside the scan.
    """
    limits = None if box is None else _limits(box, voxels.shape)
    _check_inside([*foreground, *background], voxels.shape)
    mask = np.zeros(voxels.shape, np.uint8)
    prompted = False
    for plane in planes:
        inside = [plane.flat(voxel) for voxel in foreground if plane.holds(voxel)]
        outside = [plane.flat(voxel) for voxel in background if plane.holds(voxel)]
        flat = None
        if limits is not None and limits[plane.axis][0] <= plane.index < limits[plane.axis][1]:
            rows, columns = (limit for axis, limit in enumerate(limits) if axis != plane.axis)
            flat = (columns[0], rows[0], columns[1], rows[1])
        if flat is None and not inside:
            continue
        prompted = True
        where = tuple(plane.index if axis == plane.axis else slice(None) for axis in range(3))
        pixels = tuple(size for axis, size in enumerate(spacing) if axis != plane.axis)
        mask[where] = _segment(generalist, voxels[where], (pixels[0], pixels[1]), flat, inside, outside)
    if not prompted:
        raise ValueError(
            "expected a box, or a point inside the object, on one of the slices "
            f"{', '.join(f'{it.index} along axis {it.axis}' for it in planes)}, found none."
        )
    return mask


def _segment(
    generalist: Generalist,
    image: np.ndarray,
    spacing: tuple[float, float],
    box: tuple[float, float, float, float] | None,
    inside: Sequence[tuple[float, float]],
    outside: Sequence[tuple[float, float]],
) -> np.ndarray:
    """The object on one slice ``[Hs, Ws]``."""
    boxes = [box] if box is not None else _boxes_around(inside, spacing, image.shape)
    points = torch.tensor([*inside, *outside], dtype=torch.float32).reshape(1, -1, 2)
    labels = torch.tensor([1] * len(inside) + [0] * len(outside), dtype=torch.long).reshape(1, -1)
    count = len(boxes)
    prompts = Prompts(
        boxes=torch.tensor(boxes, dtype=torch.float32),
        points=points.expand(count, -1, -1),
        point_labels=labels.expand(count, -1),
        slice_index=torch.zeros(count, dtype=torch.long),
        classes=torch.ones(count, dtype=torch.long),
    )
    slices = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None]
    found = generalist.segment(slices, prompts, spacing).float().cpu().numpy()
    best = max(found, key=lambda one: _quality(one, inside, outside))
    return best > 0.5


def _quality(probability: np.ndarray, inside: Sequence[tuple[float, float]], outside: Sequence) -> float:
    """How well a mask agrees with the points, and how stable its border is: 0 to 1 for each point, and 0 to 1."""
    mask = probability > 0.5
    agree = sum(bool(mask[_pixel(point)]) for point in inside) + sum(not mask[_pixel(point)] for point in outside)
    possible = np.count_nonzero(probability > POSSIBLE)
    return agree + np.count_nonzero(probability > SURE) / max(possible, 1)


def _boxes_around(
    points: Sequence[tuple[float, float]], spacing: tuple[float, float], shape: tuple[int, ...]
) -> list[tuple[float, float, float, float]]:
    columns, rows = zip(*points, strict=True)
    boxes = []
    for distance in GUESSED_MM:
        aside, along = distance / spacing[1], distance / spacing[0]
        left, right = max(min(columns) - aside, 0), min(max(columns) + 1 + aside, shape[1])
        top, bottom = max(min(rows) - along, 0), min(max(rows) + 1 + along, shape[0])
        boxes.append((left, top, right, bottom))
    return boxes


def _pixel(point: tuple[float, float]) -> tuple[int, int]:
    return round(point[1]), round(point[0])


def _limits(box: Sequence[float], shape: Sequence[int]) -> list[tuple[int, int]]:
    if len(box) != 6:
        raise ValueError(f"box must be (i0, j0, i1, j1, k0, k1) in voxels, got {list(box)}.")
    pairs = [(box[0], box[2]), (box[1], box[3]), (box[4], box[5])]
    limits = [(max(round(low), 0), min(round(high), size)) for (low, high), size in zip(pairs, shape, strict=True)]
    if any(low >= high for low, high in limits):
        raise ValueError(f"box must hold voxels of the scan, whose shape is {tuple(shape)}, got {list(box)}.")
    return limits


def _check_inside(points: Sequence[Voxel], shape: Sequence[int]) -> None:
    for point in points:
        if len(point) != 3 or not all(0 <= round(float(it)) < size for it, size in zip(point, shape, strict=True)):
            raise ValueError(f"points must be (i, j, k) within the scan, whose shape is {tuple(shape)}, got {point}.")
