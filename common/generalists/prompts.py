"""Prompts (boxes and points) for a promptable 2D model, drawn from label maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from common import IGNORE_INDEX


@dataclass(frozen=True)
class Prompts:
    """Prompts of P objects on a stack of slices.

    The pixel in row i and column j covers `[j, j + 1) x [i, i + 1)`: the box around it alone is `(j, i, j + 1, i + 1)`,
    the point on it is `(j, i)`.

    Attributes:
        boxes: Box around each object, `[P, 4]`, floating point, XYXY in pixels, half-open (x counts columns, y rows).
        points: Points of each object, `[P, N, 2]`, floating point, (x, y) in pixels.
        point_labels: Meaning of each point, `[P, N]` int64: 1 lies in the object, 0 outside it, -1 is padding.
        slice_index: Index of the slice that each object lies on, `[P]` int64.
        classes: Class of each object (1..K), `[P]` int64.
    """

    boxes: Tensor
    points: Tensor
    point_labels: Tensor
    slice_index: Tensor
    classes: Tensor

    def __len__(self) -> int:
        return self.boxes.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Prompts:
        return self._each(lambda values: values[index])

    def to(self, device: torch.device | str) -> Prompts:
        """The same prompts on another device."""
        return self._each(lambda values: values.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Prompts:
        return Prompts(**{name: change(values) for name, values in vars(self).items()})

    @classmethod
    def join(cls, parts: Sequence[Prompts]) -> Prompts:
        """Joins prompts for the same slices, ordered by slice; points are padded to the largest number."""
        width = max(part.points.shape[1] for part in parts)
        padded = [
            replace(
                part,
                points=F.pad(part.points, (0, 0, 0, width - part.points.shape[1])),
                point_labels=F.pad(part.point_labels, (0, width - part.points.shape[1]), value=-1),
            )
            for part in parts
        ]
        joined = cls(*(torch.cat(values) for values in zip(*(vars(part).values() for part in padded), strict=True)))
        return joined[joined.slice_index.argsort(stable=True)]


def prompts_from_masks(
    masks: NDArray[np.integer] | Tensor,
    spacing: tuple[float, float],
    generator: torch.Generator,
    *,
    widen_mm: tuple[float, float] = (0.0, 6.25),
    points: int = 5,
    min_area_mm2: float = 4.0,
    largest: int | None = None,
    similarity: NDArray[np.floating] | Tensor | None = None,
) -> Prompts:
    """Makes a box and points for every connected component of every class on every slice (FM-ABS, MICCAI 2024).

    Each side of a component's bounding box is moved outwards by its own uniform random number of millimetres and
    clipped to the slice (the paper's 0-10 pixels at 0.625 mm are 0-6.25 mm). Points are drawn uniformly in the
    component, with replacement. Components are 8-connected.

    With `similarity` (to the prototype of the class, GM-ABS, TMI 2025), the points are the component's most similar
    pixels, followed by one negative point: the least similar of the pixels outside the class whose centre is in the
    widened box (GM-ABS's public code searches the whole slice). Among equally similar pixels, the first in reading
    order is taken. If a component has fewer pixels than points, or there is no negative point, the missing points are
    padding. The boxes do not depend on it.

    Args:
        masks: Label maps of S slices, `[S, Hs, Ws]`: classes 1..K, and background 0 or 255.
        spacing: (row, column) size of a pixel in mm.
        generator: Random generator on the CPU; the same state gives the same prompts.
        widen_mm: Least and greatest distance in mm by which a side of a box is moved outwards.
        points: Number of positive points per object.
        min_area_mm2: Area in mm² below which components are dropped.
        largest: Number of components of a class kept per slice, largest first; by default all.
        similarity: Similarity of each pixel to each of the classes 1..K, `[K, S, Hs, Ws]`, finite; by default points
            are random.

    Returns:
        Prompts on the CPU, ordered by slice, with N = `points`, or `points + 1` with `similarity`.

    Raises:
        ValueError: If the masks are not `[S, Hs, Ws]`, the similarity does not match them, or a range or number makes
            no sense.
    """
    if masks.ndim != 3:
        raise ValueError(f"masks must be [S, Hs, Ws], got shape {tuple(masks.shape)}")
    if not 0 <= widen_mm[0] <= widen_mm[1]:
        raise ValueError(f"widen_mm must be (least, greatest) with 0 <= least <= greatest, got {tuple(widen_mm)}")
    if points < 0 or min_area_mm2 < 0 or (largest is not None and largest < 1):
        raise ValueError(
            "points and min_area_mm2 must not be negative and largest must be at least 1 (or None), "
            f"got {points}, {min_area_mm2} and {largest}"
        )
    if min(spacing) <= 0:
        raise ValueError(f"spacing must be positive, got {tuple(spacing)}")
    array = masks.cpu().numpy() if isinstance(masks, Tensor) else np.asarray(masks)
    array = np.where(array == IGNORE_INDEX, 0, array)
    values = [int(value) for value in np.unique(array) if value != 0]
    similar = None if similarity is None else _checked_similarity(similarity, array.shape, max(values, default=0))
    parts = [
        _class_prompts(
            array == value,
            value,
            spacing,
            generator,
            widen_mm,
            points,
            min_area_mm2,
            largest,
            None if similar is None else similar[value - 1],
        )
        for value in values
    ]
    if not parts:
        number = points + (similarity is not None)
        return Prompts(
            torch.zeros(0, 4),
            torch.zeros(0, number, 2),
            torch.zeros(0, number, dtype=torch.long),
            torch.zeros(0, dtype=torch.long),
            torch.zeros(0, dtype=torch.long),
        )
    return Prompts.join(parts)


def _class_prompts(
    mask: NDArray[np.bool_],
    value: int,
    spacing: tuple[float, float],
    generator: torch.Generator,
    widen_mm: tuple[float, float],
    points: int,
    min_area_mm2: float,
    largest: int | None,
    similarity: NDArray[np.floating] | None,
) -> Prompts:
    """Prompts for the components of one class."""
    where = np.nonzero(mask)
    first = [int(index.min()) for index in where]
    window = tuple(slice(low, int(index.max()) + 1) for low, index in zip(first, where, strict=True))
    structure = np.zeros((3, 3, 3), dtype=bool)
    structure[1] = True
    labels, number = ndimage.label(mask[window], structure)
    section, row, column = (index - low for index, low in zip(where, first, strict=True))
    component = labels[section, row, column] - 1

    order = np.argsort(component, kind="stable")
    section, row, column = (index[order] + low for index, low in zip((section, row, column), first, strict=True))
    area = np.bincount(component, minlength=number)
    start = np.concatenate([[0], np.cumsum(area)[:-1]])
    slice_index = section[start]
    kept = area * spacing[0] * spacing[1] >= min_area_mm2
    if largest is not None:
        by_size = np.lexsort((-area, slice_index))
        rank = np.empty(number, dtype=int)
        new_slice = np.concatenate([[True], np.diff(slice_index[by_size]) > 0])
        begins = np.maximum.accumulate(np.where(new_slice, np.arange(number), 0))
        rank[by_size] = np.arange(number) - begins
        kept &= rank < largest

    boxes = np.stack(
        [
            np.minimum.reduceat(column, start),
            np.minimum.reduceat(row, start),
            np.maximum.reduceat(column, start) + 1,
            np.maximum.reduceat(row, start) + 1,
        ],
        axis=1,
    )[kept]
    start, area, slice_index = start[kept], area[kept], slice_index[kept]
    low, high = widen_mm
    widening = torch.rand(len(area), 4, generator=generator) * (high - low) + low
    widening = widening * torch.tensor([-1.0, -1.0, 1.0, 1.0]) / torch.tensor([spacing[1], spacing[0]] * 2)
    limit = torch.tensor([mask.shape[2], mask.shape[1]] * 2, dtype=torch.float32)
    widened = torch.minimum((torch.from_numpy(boxes).float() + widening).clamp(min=0), limit)
    draws = torch.rand(len(area), points, generator=generator).numpy()
    if similarity is None:
        picks = start[:, None] + np.minimum((draws * area[:, None]).astype(int), area[:, None] - 1)
        xy = np.stack([column[picks], row[picks]], axis=-1)
        point_labels = np.ones(picks.shape, dtype=np.int64)
    else:
        ranked = np.lexsort((-similarity[section, row, column], component[order]))
        rank = np.arange(points)
        picks = ranked[start[:, None] + np.minimum(rank, area[:, None] - 1)]
        negative, found = _least_similar(widened.numpy(), slice_index, mask, similarity)
        xy = np.concatenate([np.stack([column[picks], row[picks]], axis=-1), negative[:, None]], axis=1)
        point_labels = np.column_stack([np.where(rank < area[:, None], 1, -1), np.where(found, 0, -1)])
    return Prompts(
        widened,
        torch.from_numpy(xy).float(),
        torch.from_numpy(point_labels).long(),
        torch.from_numpy(slice_index).long(),
        torch.full((len(area),), value, dtype=torch.long),
    )


def _least_similar(
    boxes: NDArray[np.floating],
    slice_index: NDArray[np.integer],
    mask: NDArray[np.bool_],
    similarity: NDArray[np.floating],
) -> tuple[NDArray[np.integer], NDArray[np.bool_]]:
    """The least similar pixel outside the mask in each box: (x, y), `[P, 2]`, and whether there is one, `[P]`."""
    left, top, right, bottom = np.ceil(boxes - 0.5).astype(int).T
    width = right - left
    size = width * (bottom - top)
    begin = np.cumsum(size) - size
    box = np.repeat(np.arange(len(size)), size)
    position = np.arange(len(box))
    down, along = np.divmod(position - begin[box], width[box])
    pixels = (slice_index[box], top[box] + down, left[box] + along)
    values = np.where(mask[pixels], np.inf, similarity[pixels])
    lowest = np.minimum.reduceat(values, begin)
    chosen = np.minimum.reduceat(np.where(values == lowest[box], position, len(box)), begin)
    return np.stack([pixels[2][chosen], pixels[1][chosen]], axis=-1), np.isfinite(lowest)


def _checked_similarity(
    similarity: NDArray[np.floating] | Tensor, shape: tuple[int, ...], classes: int
) -> NDArray[np.floating]:
    array = similarity.float().cpu().numpy() if isinstance(similarity, Tensor) else np.asarray(similarity)
    if array.shape[1:] != shape or len(array) < classes:
        raise ValueError(
            f"similarity must be [K, S, Hs, Ws] with K at least {classes} on the masks' grid {shape}, "
            f"got shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"similarity must be finite, but {int((~np.isfinite(array)).sum())} of its values are not")
    return array
