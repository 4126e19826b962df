"""The cross-label that an annotator starts from, so that what is seen is what is wanted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from common.annotations.folder import slice_request


def predrawn(
    shape: tuple[int, ...],
    affine: np.ndarray,
    slices: Mapping[str, int],
    *,
    background: int,
    prediction: np.ndarray | None = None,
) -> np.ndarray:
    """Draws the requested slices, and nothing elsewhere.

    Args:
        shape: Shape of the image in its file.
        affine: Affine of the image's file, 4x4.
        slices: Requested slice of each view, as an index of the scan's RAS grid.
        background: Value of what is background on these slices, one that no class has.
        prediction: Predicted classes 1..K, 0 background, on the file's grid; None for slices that are background.

    Returns:
        Label map, uint8 on the file's grid: 0 off the slices, and on them the class or ``background``.

    Example:
        >>> predrawn((2, 2, 2), np.eye(4), {"axial": 1}, background=9)[0]
        array([[0, 9],
               [0, 9]], dtype=uint8)
    """
    drawn = np.zeros(shape, np.uint8)
    classes = np.zeros(shape, np.uint8) if prediction is None else prediction
    for view, index in slices.items():
        wanted = slice_request(view, index, shape, affine)
        plane = tuple(wanted.file_index if axis == wanted.file_axis else slice(None) for axis in range(3))
        drawn[plane] = np.where(classes[plane] == 0, background, classes[plane])
    return drawn
