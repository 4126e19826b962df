"""What kind of annotation a label is: dense, whole slices, scribbles or other parts of a scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from common import IGNORE_INDEX
from common.annotations.cross_label import on_slices, whole_slices
from common.cohort.volumes import VIEWS

Kind = Literal["none", "dense", "slices", "scribbles", "regions"]

SPECK = 4
"""Number of voxels from which on a connected object is no speck."""

AROUND = np.ones((3, 3, 3), bool)
"""A voxel and the 26 around it."""


@dataclass(frozen=True)
class AnnotatedPart:
    """Which voxels of a scan are annotated.

    Attributes:
        voxels: Number of annotated voxels.
        size: Number of voxels of the scan.
        slices: Indices of the slices of each view that are annotated as a whole; empty lists if every voxel is.
        elsewhere: Number of annotated voxels on none of these slices, 0 if every voxel is annotated.
        strokes: Whether these are thin everywhere, as scribbles are: none has all its 26 neighbours among them.
    """

    voxels: int
    size: int
    slices: dict[str, list[int]]
    elsewhere: int
    strokes: bool

    @property
    def kind(self) -> Kind:
        """The kind of annotation; whole slices and something beside them are what is beside them."""
        if self.voxels in (0, self.size):
            return "dense" if self.voxels else "none"
        if not self.elsewhere:
            return "slices"
        return "scribbles" if self.strokes else "regions"

    @property
    def text(self) -> str:
        """The kind, the slices and the share of the voxels, in words."""
        if self.kind in ("none", "dense"):
            return "nothing" if self.kind == "none" else "dense"
        number = sum(map(len, self.slices.values()))
        views = ", ".join(f"{view} {ranges(indices)}" for view, indices in self.slices.items() if indices)
        parts = [f"{number} whole slice{'s' * (number > 1)} ({views})"] if number else []
        parts += [] if self.kind == "slices" else [self.kind]
        share = 100 * self.voxels / self.size
        return f"{' and '.join(parts)}, {share:.2g} % of the voxels"


def annotated_part(label: NDArray[np.uint8]) -> AnnotatedPart:
    """Tells which voxels of a label are annotated.

    Args:
        label: Label map ``[H, W, D]`` in RAS orientation, 255 where nothing is annotated.

    Example:
        >>> label = np.full((4, 5, 6), 255, np.uint8)
        >>> label[:, :, 2:4] = 0
        >>> annotated_part(label).text
        '2 whole slices (axial 2–3), 33 % of the voxels'
    """
    annotated = label != IGNORE_INDEX
    voxels = int(np.count_nonzero(annotated))
    if voxels in (0, annotated.size):
        return AnnotatedPart(voxels, annotated.size, {view: [] for view in VIEWS}, 0, False)
    slices = {view: indices.tolist() for view, indices in whole_slices(annotated).items()}
    beside = annotated & ~on_slices(annotated.shape, slices)
    elsewhere = int(np.count_nonzero(beside))
    strokes = bool(elsewhere) and not ndimage.binary_erosion(_cropped(beside), AROUND).any()
    return AnnotatedPart(voxels, annotated.size, slices, elsewhere, strokes)


def specks(label: NDArray[np.uint8], smallest: int = SPECK) -> int:
    """Number of objects smaller than a few voxels, connected by faces, edges or corners; they may be slips of the hand.

    Args:
        label: Label map ``[H, W, D]``; 0 and 255 are no objects.
        smallest: Number of voxels of the smallest object that does not count.
    """
    found = 0
    for value in np.unique(label[(label != 0) & (label != IGNORE_INDEX)]).tolist():
        components, _ = ndimage.label(_cropped(label == value), AROUND)
        found += int(np.count_nonzero(np.bincount(components.ravel())[1:] < smallest))
    return found


def ranges(numbers: list[int]) -> str:
    """Whole numbers in ascending order in words.

    Example:
        >>> ranges([1, 3, 4, 5, 9])
        '1, 3–5, 9'
    """
    ends = [number for number in numbers if number + 1 not in numbers]
    starts = [number for number in numbers if number - 1 not in numbers]
    return ", ".join(str(low) if low == high else f"{low}–{high}" for low, high in zip(starts, ends, strict=True))


def _cropped(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask with at least one voxel, cropped to its bounding box."""
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    return mask[box]
