"""Intensities on a scale that a network can learn from: those of a scan by themselves, or those of CT by a window."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.transforms import MapTransform, NormalizeIntensity, ScaleIntensityRange

from common.checks import yes_or_no


class NormalizeScand(MapTransform):
    """Standardises every channel of a scan by its own mean and standard deviation, or all scans by one window.

    MRI has no scale of its own, so that a scan is its own measure (z-score). CT has one (Hounsfield units), in which
    a tissue has the same value in every scan; it is kept where all scans are clipped and standardised alike (Isensee
    et al., Nature Methods 18, 2021).

    Args:
        keys: Keys of the images, each ``[C, H, W, D]``.
        window: Least and greatest intensity, at which images are clipped, then the mean that is subtracted and the
            standard deviation that they are divided by, in the images' own unit; None for the z-score.
        nonzero: Whether voxels of exactly 0 stay 0 and are left out of a scan's mean and standard deviation; as it
            comes from a config, where a text such as ``false`` counts too. Without meaning where there is a window.

    Raises:
        ValueError: If the window is not four numbers, the first below the second and the last above 0, or `nonzero` is
            neither true nor false.

    Example:
        >>> import torch
        >>> image = torch.tensor([-1000.0, 0.0, 40.0, 3000.0]).view(1, 1, 1, 4)
        >>> normalize = NormalizeScand("image", window=[-160.0, 240.0, 40.0, 100.0])
        >>> normalize({"image": image})["image"].as_tensor().flatten()
        tensor([-2.0000, -0.4000,  0.0000,  2.0000])
    """

    def __init__(
        self,
        keys: Hashable | Sequence[Hashable],
        window: Sequence[float] | None = None,
        nonzero: bool | str = False,
    ) -> None:
        super().__init__(keys)
        zero = yes_or_no("nonzero", nonzero)
        self._normalize: NormalizeIntensity | ScaleIntensityRange
        if window is None:
            self._normalize = NormalizeIntensity(channel_wise=True, nonzero=zero)
            return
        if len(window) != 4 or not window[0] < window[1] or not window[3] > 0:
            raise ValueError(
                "window must be the least and the greatest intensity, the first below the second, then a mean and a "
                f"standard deviation above 0, as in [-160.0,240.0,40.0,100.0], got {list(window)}."
            )
        low, high, mean, deviation = window
        self._normalize = ScaleIntensityRange(low, high, (low - mean) / deviation, (high - mean) / deviation, clip=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Normalises the images of an item."""
        return dict(data) | {key: self._normalize(data[key]) for key in self.key_iterator(data)}
