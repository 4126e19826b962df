"""Distances between the surfaces of two segmented objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt, generate_binary_structure


class SurfaceDistances(NamedTuple):
    """Surface distances in the unit of the voxel spacing; NaN if either object is empty.

    Attributes:
        hd95: 95th percentile of the distances in both directions taken together.
        asd: Mean distance from the surface voxels of the prediction to the surface of the reference.
    """

    hd95: float
    asd: float


def surface_distances(
    prediction: NDArray[np.generic], reference: NDArray[np.generic], spacing: Sequence[float] | None = None
) -> SurfaceDistances:
    """Computes the 95 % Hausdorff and the average surface distance, as MedPy's ``hd95`` and ``asd`` define them.

    The surface of an object consists of its voxels that have at least one of their 6 neighbours outside the object or
    outside the grid. The distance of a surface voxel is the one from its centre to the centre of the nearest surface
    voxel of the other object.

    Args:
        prediction: Predicted mask ``[H, W, D]`` (any number of dimensions works); the object is where it is not zero.
        reference: Reference mask of the same shape.
        spacing: Size of a voxel along each axis; by default 1, which gives distances in voxels.

    Raises:
        ValueError: If the masks differ in shape, or ``spacing`` is not one positive number per axis.

    Example:
        >>> mask = np.zeros((5, 5, 5), bool)
        >>> mask[1, 1, 1] = True
        >>> surface_distances(mask, np.roll(mask, 2, axis=0), spacing=(1.5, 1.0, 1.0))
        SurfaceDistances(hd95=3.0, asd=3.0)
    """
    if prediction.shape != reference.shape:
        raise ValueError(
            f"prediction and reference must have the same shape, got {prediction.shape} and {reference.shape}."
        )
    if spacing is not None and (len(spacing) != prediction.ndim or min(spacing) <= 0):
        raise ValueError(f"spacing must be {prediction.ndim} numbers above 0, got {tuple(spacing)}.")
    first, second = prediction.astype(bool), reference.astype(bool)
    if not first.any() or not second.any():
        return SurfaceDistances(float("nan"), float("nan"))
    box = _bounding_box(first | second)
    first, second = _surface(first[box]), _surface(second[box])
    to_reference = distance_transform_edt(~second, sampling=spacing)[first]
    to_prediction = distance_transform_edt(~first, sampling=spacing)[second]
    return SurfaceDistances(
        hd95=float(np.percentile(np.concatenate([to_reference, to_prediction]), 95)), asd=float(to_reference.mean())
    )


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    box = []
    for axis in range(mask.ndim):
        occupied = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
    return tuple(box)


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return mask & ~binary_erosion(mask, generate_binary_structure(mask.ndim, 1))
