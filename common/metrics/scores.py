"""Overlap and surface distances of one segmented object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from common.metrics.surface import surface_distances


class Scores(TypedDict):
    """Scores of one object, as :func:`segmentation_scores` computes them."""

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
    """Compares a predicted object with its reference, by overlap and by distances in voxels and in millimetres.

    Args:
        prediction: Predicted mask ``[H, W, D]``; the object is where it is not zero.
        reference: Reference mask of the same shape.
        spacing: Size of a voxel along each axis in mm.

    Returns:
        ``dice`` and ``jaccard``, from 0 to 1, NaN if both masks are empty; ``hd95_voxel``, ``asd_voxel``, ``hd95_mm``
        and ``asd_mm`` as :func:`common.metrics.surface_distances` defines them, NaN if either mask is empty;
        ``missing``, which is true if the prediction is empty though the reference is not.

    Raises:
        ValueError: If the masks differ in shape, or ``spacing`` is not one positive number per axis.
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
