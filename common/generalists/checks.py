"""Checks of the volumes that generalists are asked to label, and of the views in which they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common import IGNORE_INDEX
from common.cohort.volumes import VIEWS

ALL_VIEWS = "all"
"""Word for the three views together."""


def views_named(text: str) -> tuple[str, ...]:
    """The views that a setting names.

    Args:
        text: ``all``, or names of views separated by commas.

    Raises:
        ValueError: If there is another name.

    Example:
        >>> views_named("axial,coronal")
        ('axial', 'coronal')
    """
    views = tuple(VIEWS) if text == ALL_VIEWS else tuple(text.split(","))
    check_views(views)
    return views


def check_views(views: Sequence[str]) -> None:
    """Refuses names that are no views, and none at all.

    Raises:
        ValueError: Naming the views that there are, and what was given.
    """
    if not views or any(view not in VIEWS for view in views):
        raise ValueError(f"views must be some of {', '.join(VIEWS)}, got {', '.join(map(repr, views)) or 'none'}")


def require_finite(image: Tensor) -> None:
    """Raises a ValueError that names the first voxel if the image has NaN or infinite intensities."""
    bad = ~torch.isfinite(image)
    if bad.any():
        first = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"image must have finite intensities, but {int(bad.sum())} voxels are NaN or infinite, "
            f"the first at {first}: {image[first].item()}"
        )


def checked_labels(
    name: str,
    labels: NDArray[np.integer] | Tensor,
    image: Tensor,
    spacing: tuple[float, float, float],
    num_classes: int | None,
) -> tuple[NDArray[np.integer], int]:
    """Checks a label map (called `name` in messages) of an image; returns it as an array, and the number of classes.

    Raises:
        ValueError: If shapes differ, the spacing is not positive, the image is not finite, or a label is out of range.
    """
    array = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if image.ndim != 3 or array.shape != image.shape:
        raise ValueError(
            f"image and {name} must both be [H, W, D] on one grid, got shapes {tuple(image.shape)} and {array.shape}"
        )
    if len(spacing) != 3 or min(spacing) <= 0:
        raise ValueError(f"spacing must be three positive numbers (mm), got {tuple(spacing)}")
    require_finite(image)
    known = array[array != IGNORE_INDEX]
    lowest, highest = (int(known.min()), int(known.max())) if known.size else (0, 0)
    classes = num_classes or max(highest + 1, 2)
    if not 0 <= lowest <= highest < classes:
        raise ValueError(f"{name} must hold classes 0..{classes - 1} (or 255), got {lowest} to {highest}")
    return array, classes
