"""Cross-labels: annotations of one slice in each view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from common import IGNORE_INDEX
from common.cohort.volumes import VIEWS


def middle_slices(label: NDArray[np.generic]) -> dict[str, int]:
    """The slice of each view through the middle of the foreground's bounding box.

    Args:
        label: Label map ``[H, W, D]`` in RAS orientation; values other than 0 and 255 are foreground.

    Returns:
        Index of the slice by view: ``(first + last) // 2`` of the slices that hold foreground.

    Raises:
        ValueError: If the label is not 3D or has no foreground.

    Example:
        >>> label = np.zeros((4, 6, 8), np.uint8)
        >>> label[1:3, 2:5, 7] = 1
        >>> middle_slices(label)
        {'axial': 7, 'coronal': 3, 'sagittal': 1}
    """
    _require_3d(label)
    foreground = (label != 0) & (label != IGNORE_INDEX)
    if not foreground.any():
        raise ValueError("expected foreground for the cross-label to pass through, but the label is empty.")
    middle = {}
    for view, axis in VIEWS.items():
        others = tuple(other for other in range(3) if other != axis)
        occupied = np.flatnonzero(foreground.any(axis=others))
        middle[view] = int(occupied[0] + occupied[-1]) // 2
    return middle


def cross_label(
    label: NDArray[np.generic], slices: Mapping[str, int], ignore_index: int = IGNORE_INDEX
) -> NDArray[np.uint8]:
    """Makes a cross-label of a dense label: its values on the given slices, ``ignore_index`` elsewhere.

    Args:
        label: Label map ``[H, W, D]`` in RAS orientation, whole numbers from 0 to 255; it is not changed.
        slices: Index of the annotated slice by view (``axial``, ``coronal``, ``sagittal``), at least one.
        ignore_index: Value of the voxels on none of the slices.

    Returns:
        The annotation ``[H, W, D]``.

    Raises:
        ValueError: If the label is not 3D or does not fit uint8, a view is unknown, or an index lies outside the label.
    """
    _require_3d(label)
    if not slices:
        raise ValueError(f"slices must name at least one view of {', '.join(VIEWS)}, got none.")
    narrow = label.astype(np.uint8)
    if not np.array_equal(narrow, label):
        raise ValueError(f"label values must be whole numbers from 0 to 255, found {label.min()} to {label.max()}.")
    annotation = np.full(label.shape, ignore_index, np.uint8)
    for view, index in slices.items():
        if view not in VIEWS:
            raise ValueError(f"view must be one of {', '.join(VIEWS)}, got {view!r}.")
        axis = VIEWS[view]
        if not 0 <= index < label.shape[axis]:
            raise ValueError(
                f"{view} slice must lie in 0..{label.shape[axis] - 1} (label of shape {label.shape}), got {index}."
            )
        plane = tuple(index if other == axis else slice(None) for other in range(3))
        annotation[plane] = narrow[plane]
    return annotation


def complete_slices(annotation: NDArray[np.uint8], wanted: Mapping[str, int]) -> dict[str, int]:
    """For each view, the completely annotated slice closest to the wanted one; views without any are left out.

    Args:
        annotation: Annotation ``[H, W, D]`` in RAS orientation, 255 where nothing is annotated.
        wanted: Index of a slice by view; the middle of the volume where there is none.
    """
    slices = {}
    for view, complete in whole_slices(annotation != IGNORE_INDEX).items():
        if complete.size:
            middle = annotation.shape[VIEWS[view]] // 2
            slices[view] = int(complete[np.argmin(abs(complete - wanted.get(view, middle)))])
    return slices


def whole_slices(mask: NDArray[np.bool_]) -> dict[str, NDArray[np.intp]]:
    """Indices of the slices of each view that lie in a mask ``[H, W, D]`` as a whole."""
    others = {view: tuple(other for other in range(3) if other != axis) for view, axis in VIEWS.items()}
    return {view: np.flatnonzero(mask.all(axis=axes)) for view, axes in others.items()}


def on_slices(shape: tuple[int, ...], slices: Mapping[str, Iterable[int]]) -> NDArray[np.bool_]:
    """Mask ``[H, W, D]`` of the voxels on some slices, whose indices are given by view."""
    mask = np.zeros(shape, bool)
    for view, indices in slices.items():
        np.moveaxis(mask, VIEWS[view], 0)[list(indices)] = True
    return mask


def _require_3d(label: NDArray[np.generic]) -> None:
    if label.ndim != 3:
        raise ValueError(f"label must be [H, W, D], got an array of shape {label.shape}.")
