"""What an annotation tells of a pseudo-label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common import IGNORE_INDEX


def with_annotation(
    label: NDArray[np.uint8], annotation: NDArray[np.uint8], classes: Sequence[int] | None = None
) -> NDArray[np.uint8]:
    """Puts what was annotated in place of a pseudo-label's voxels.

    Where some classes only were annotated, an annotated background rules out these alone: the pseudo-label's other
    classes stay there, and where it has one of these it becomes 255.

    Args:
        label: Pseudo-label ``[H, W, D]``.
        annotation: Annotation ``[H, W, D]``, 255 where nothing is annotated.
        classes: The classes that were annotated; None for all.

    Example:
        >>> label, annotation = np.array([[0, 1, 2, 2]], np.uint8), np.array([[0, 0, 0, 1]], np.uint8)
        >>> with_annotation(label, annotation)
        array([[0, 0, 0, 1]], dtype=uint8)
        >>> with_annotation(label, annotation, classes=[1])
        array([[  0, 255,   2,   1]], dtype=uint8)
    """
    told = annotation != IGNORE_INDEX
    if classes is None:
        return np.where(told, annotation, label)
    possible = np.where(np.isin(label, list(classes)), np.uint8(IGNORE_INDEX), label)
    return np.where(annotation == 0, possible, np.where(told, annotation, label))
