"""What a plan has to know of a cohort (the data fingerprint of Isensee et al., Nature Methods 18, 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Fingerprint:
    """A cohort in numbers; axes are those of RAS (right, anterior, superior).

    Attributes:
        classes: Name of each class 1..K.
        channels: Number of channels of the images.
        training, validation, test: Number of scans of each split.
        labelled: Number of training scans with a label.
        spacings: Spacing of each training scan in millimetres.
        sizes: Size of each training scan in voxels.
        read: Number of training scans whose voxels were read.
        sparse: Number of labels among them that are annotated in part only.
        modality: ``ct``, ``mr`` or ``other``.
        modality_reason: How it is known.
        window: Percentiles 0.5 and 99.5, mean and standard deviation of the foreground's intensities in the first
            channel; None if no foreground was read.
        background: Share of a scan's voxels that have, in all channels, the value of its corners, the median; 0 where
            corners differ.
        empty_is_zero: Whether that value is 0 in all scans.
        volumes_mm3: Volume of each class that was found, in the median scan that has it.
        directed: Axes along which two classes of like intensities lie in the same order in all scans.
        image_bytes: Bytes that the training images take as float32.
    """

    classes: dict[int, str]
    channels: int
    training: int
    validation: int
    test: int
    labelled: int
    spacings: Sequence[Triple]
    sizes: Sequence[Triple]
    read: int
    sparse: int
    modality: str
    modality_reason: str
    window: tuple[float, float, float, float] | None
    background: float
    empty_is_zero: bool
    volumes_mm3: dict[int, float]
    directed: tuple[int, ...]
    image_bytes: int

    @property
    def num_classes(self) -> int:
        """Number of classes with the background."""
        return max(self.classes) + 1

    @cached_property
    def spacing(self) -> NDArray[np.floating]:
        """The median spacing along each axis, in millimetres."""
        return np.median(np.asarray(self.spacings, float), axis=0)

    def sizes_at(self, spacing: Sequence[float]) -> NDArray[np.floating]:
        """Sizes of the training scans in voxels, ``[N, 3]``, once they are resampled to a spacing in millimetres."""
        extents = np.asarray(self.sizes, float) * np.asarray(self.spacings, float)
        return np.maximum(1, np.rint(extents / np.asarray(spacing, float)))
