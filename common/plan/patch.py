"""Size of the patches that a network is trained on, how far they are shifted, and the steps of the sliding window."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

Patch = tuple[int, int, int]

SHARE_OF_SCAN = 2 / 3
"""Share of a scan's side that a patch takes at least where slices are annotated: it can then be shifted by half of its
own."""

SHIFT = 1 / 2
"""Least distance, as a share of a patch's side, over which its place in a scan varies where slices are annotated."""


def wanted_patch(size: Sequence[float], *, divisor: int, sparse: bool) -> Patch:
    """The patch that would be taken if memory had no end.

    A dense label is learnt from best with all of its surroundings: the patch is as large as a scan. Of annotated
    slices a network sees the same ones all the time. Where they always lie at the same place of the patch, it learns
    that place; so the patch is smaller than a scan, and :func:`margin` adds what is missing.

    Args:
        size: Size of a scan in voxels.
        divisor: Number that each side must be divisible by.
        sparse: Whether slices are annotated, not whole scans.

    Returns:
        For each axis the multiple of the divisor nearest to the scan's length; with annotated slices, if that is less,
        the first one from two thirds of it on.
    """
    first, second, third = (_side(length / divisor, sparse=sparse) * divisor for length in size)
    return first, second, third


def _side(length: float, *, sparse: bool) -> int:
    """A side of the patch along a scan of some length, both in units of the divisor."""
    nearest = max(1, math.ceil(length - 0.5))
    return min(nearest, math.ceil(SHARE_OF_SCAN * length)) if sparse else nearest


def largest_patch(wanted: Patch, *, divisor: int, fits: Callable[[Patch], bool]) -> Patch | None:
    """The patch that holds most of the wanted one; None if not even the smallest fits.

    It loses about the same share along each axis, so that its shape stays that of the scans: of all patches that fit,
    it is one whose most shortened side is shortened least, and the largest of these.

    Args:
        wanted: Size that no side may exceed, in voxels.
        divisor: Number that each side must be divisible by.
        fits: Tells whether a patch is small enough.
    """
    first, second, third = (range(divisor, side + 1, divisor) for side in wanted)
    found = [patch for patch in itertools.product(first, second, third) if fits(patch)]
    if not found:
        return None
    return max(found, key=lambda patch: (min(a / b for a, b in zip(patch, wanted, strict=True)), math.prod(patch)))


def margin(patch: Sequence[int], size: Sequence[float], *, sparse: bool) -> Patch:
    """Voxels by which scans are padded on each side, so that the place of a patch varies by half of its own side.

    Args:
        patch: Size of the patches in voxels.
        size: Size of a scan in voxels.
        sparse: Whether slices are annotated; nothing is padded for dense labels.
    """
    if not sparse:
        return 0, 0, 0
    missing = ((1 + SHIFT) * length - side for length, side in zip(patch, size, strict=True))
    first, second, third = (max(0, math.ceil(voxels / 2)) for voxels in missing)
    return first, second, third


def stride(patch: Sequence[int], largest: Sequence[float]) -> Patch:
    """Steps of the sliding window: half a patch, or a whole one along an axis where every scan fits into it.

    Args:
        patch: Size of the patches in voxels.
        largest: Size of the largest scan along each axis in voxels.
    """
    first, second, third = (
        int(length if side <= length else length // 2) for length, side in zip(patch, largest, strict=True)
    )
    return first, second, third


def share_of_scan(patch: Sequence[int], size: Sequence[float]) -> float:
    """Share of a scan's voxels that a patch holds."""
    return float(np.prod(np.minimum(patch, size)) / np.prod(size))
