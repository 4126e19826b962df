"""All scores of one segmented object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from common.metrics.surface import surface_distances


class Scores(TypedDict):
    """Scores of one object: see :func:`segmentation_scores`."""

    dice: float
    jaccard: float
    hd95_voxel: float
    asd_voxel: float
    hd95_mm: float
    asd_mm: float
    missing: bool


def segmentation_scores(
    prediction: NDArray[np.generic], reference: NDArray[np.generic], spacing: Sequence[float]
) -> Scores:
    """Overlap and surface distances of an object, in voxels and in millimetres.

    Args:
        prediction: mask ``[H, W, D]``, non-zero is the object.
        reference: mask on the same grid.
        spacing: of the voxels along each axis, in mm.

    Returns:
        ``dice`` and ``jaccard``, 0 to 1, NaN if both masks are empty; ``hd95_voxel``, ``asd_voxel``, ``hd95_mm`` and
        ``asd_mm`` as :func:`common.metrics.surface_distances` defines them, NaN if either mask is empty; ``missing``,
        whether the prediction is empty though the reference is not.

    Raises:
        ValueError: if the grids differ, or the spacing does not fit.
    """
    voxel = surface_distances(prediction, reference)
    millimetre = surface_distances(prediction, reference, spacing)
    first, second = prediction.astype(bool), reference.astype(bool)
    sizes = int(first.sum()), int(second.sum())
    common = int((first & second).sum())
    either = sum(sizes) - common
    return Scores(
        dice=2 * common / sum(sizes) if either else float("nan"),
        jaccard=common / either if either else float("nan"),
        hd95_voxel=voxel.hd95,
        asd_voxel=voxel.asd,
        hd95_mm=millimetre.hd95,
        asd_mm=millimetre.asd,
        missing=sizes[0] == 0 < sizes[1],
    )
