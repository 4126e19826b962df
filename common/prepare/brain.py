"""Crops skull-stripped scans to the brain, and clips the intensities within it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from monai.transforms import generate_spatial_bounding_box
from numpy.typing import NDArray

from common.cohort.cohort import CohortError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BrainPreprocessing:
    """Crops a skull-stripped scan to its brain and clips its intensities.

    The public semi-supervised benchmark on BraTS 2019 (HiLab's SSL4MIS, ``brats_proprecessing.py``) crops to the brain,
    clips at the 99.9th percentile of the box, and makes z-scores, which are here left to the transforms of training.
    Ours are two details: percentiles are those of the brain alone, and the last plane of the box along each axis, which
    the benchmark leaves out, is kept.

    Args:
        crop: Whether to crop to the brain's bounding box.
        clip: Percentiles (least and greatest, 0 to 100) of the intensities in the brain at which these are clipped;
            None to leave them as they are.

    Raises:
        ValueError: If the percentiles are not two numbers in order from 0 to 100.
    """

    crop: bool = False
    clip: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.clip is not None and not (len(self.clip) == 2 and 0 <= self.clip[0] < self.clip[1] <= 100):
            raise ValueError(f"clip must be two percentiles in order, such as 0 and 99.9, got {list(self.clip)}.")

    def __call__(
        self, image: NDArray, label: NDArray | None, affine: NDArray, path: str | Path
    ) -> tuple[NDArray, NDArray | None, NDArray]:
        """The scan, its label and its affine after both steps.

        Args:
            image: Intensities ``[H, W, D]`` or, of several channels, ``[H, W, D, C]``. The box is then that of all
                channels together.
            label: Label map ``[H, W, D]``; None if there is none. Label outside the brain's box is cut off.
            affine: Matrix 4x4 from voxel indices to millimetres. The new one puts every voxel where it was.
            path: File of the image, for messages.

        Raises:
            CohortError: If the scan is not skull-stripped, see :func:`brain_mask`.
        """
        if not self.crop and self.clip is None:
            return image, label, affine
        channels = list(np.moveaxis(image, -1, 0)) if image.ndim == 4 else [image]
        try:
            brains = [brain_mask(channel) for channel in channels]
        except ValueError as error:
            raise CohortError([f"{path}: {error}"]) from error
        if self.clip is not None:
            for place, (channel, brain) in enumerate(zip(channels, brains, strict=True)):
                low, high = np.percentile(channel[brain], self.clip)
                channels[place] = np.where(brain, np.clip(channel, low, high), channel).astype(np.float32)
            image = np.stack(channels, axis=-1) if image.ndim == 4 else channels[0]
        if self.crop:
            start, end = generate_spatial_bounding_box(np.any(brains, axis=0)[None])
            window = tuple(map(slice, start, end))
            image = image[window]
            if label is not None:
                whole, label = np.count_nonzero(label), label[window]
                if lost := whole - np.count_nonzero(label):
                    logger.warning(
                        "%s: %d voxels of the label lie outside the brain's box and are cut off.", path, lost
                    )
            affine = affine.copy()
            affine[:3, 3] += affine[:3, :3] @ start
        return image, label, affine


def brain_mask(image: NDArray) -> NDArray[np.bool_]:
    """Where the brain is in a skull-stripped scan ``[H, W, D]``: where the intensity is not the background's.

    The background has one value, which all corners of the scan have: 0 as scans are published, another after z-scoring.

    Raises:
        ValueError: If the corners differ, or there is nothing but background.

    Example:
        >>> scan = np.full((3, 3, 3), -2.0)
        >>> scan[1, 1, 1] = 0.5
        >>> np.argwhere(brain_mask(scan)).tolist()
        [[1, 1, 1]]
    """
    corners = np.unique(image[np.ix_(*[(0, -1)] * 3)])
    if len(corners) > 1:
        raise ValueError(
            "expected a skull-stripped scan with the same background in all corners, found intensities from "
            f"{corners[0]:g} to {corners[-1]:g} there."
        )
    brain = np.asarray(image != corners[0])
    if not brain.any():
        raise ValueError(f"expected a brain before the background, found the intensity {corners[0]:g} everywhere.")
    return brain
