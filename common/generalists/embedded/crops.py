"""Cuts square crops around boxes out of slices and pastes them back, by two small matrix products each.

Crops are parallel to the axes, so resampling separates: `crop = rows @ slice @ columns.T`. The weights are triangles
as wide as a pixel of the coarser of the two grids, so that shrinking averages (there is no aliasing) and enlarging is
bilinear interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CropFrames:
    """Where P square crops lie on their slices.

    Attributes:
        centre: Centre of each crop, `[P, 2]`, (x, y) in pixel coordinates (a pixel's centre is at index + 0.5).
        half: Half the side of each crop along x and y, `[P, 2]`, in pixels.
        size: Side of the resampled crops in crop pixels.
    """

    centre: Tensor
    half: Tensor
    size: int

    @classmethod
    def around(
        cls,
        boxes: Tensor,
        size: int,
        *,
        factor: float = 1.5,
        minimum: float = 16.0,
        spacing: tuple[float, float] = (1.0, 1.0),
    ) -> CropFrames:
        """Places a crop around each box, square in millimetres, with `factor` times the box's longer side.

        Args:
            boxes: Boxes `[P, 4]`, XYXY in pixels.
            size: Side of the resampled crops in crop pixels.
            factor: Ratio of a crop's side to the longer side of its box.
            minimum: Least side of a crop, in pixels of the finer axis.
            spacing: (row, column) size of a pixel in mm, of which only the ratio matters.
        """
        row, column = spacing
        pixel = boxes.new_tensor([column, row]) / min(row, column)
        extent = (boxes[:, 2:] - boxes[:, :2]) * pixel
        side = (extent.amax(dim=1, keepdim=True) * factor).clamp(min=minimum)
        return cls((boxes[:, :2] + boxes[:, 2:]) / 2, side / 2 / pixel, size)

    def positions(self) -> Tensor:
        """Pixel coordinates of the crop pixels' centres along x and y: `[P, 2, size]`."""
        steps = (torch.arange(self.size, device=self.centre.device, dtype=self.centre.dtype) + 0.5) * 2 / self.size - 1
        return self.centre[..., None] + self.half[..., None] * steps

    def to_crop(self, xy: Tensor) -> Tensor:
        """Converts pixel coordinates `[P, N, 2]` to crop coordinates (0 to `size`)."""
        return ((xy - self.centre[:, None]) / self.half[:, None] + 1) * (self.size / 2)


def cut(slices: Tensor, frames: CropFrames) -> tuple[Tensor, Tensor]:
    """Cuts crops out of slices.

    Args:
        slices: One slice for each crop, `[P, Hs, Ws]`, floating point.
        frames: Places of the P crops.

    Returns:
        The crops `[P, size, size]`, and in the same shape 1 where they lie on the slice and 0 beyond its border.
    """
    columns, in_columns = _read_weights(frames, 0, slices.shape[2])
    rows, in_rows = _read_weights(frames, 1, slices.shape[1])
    crops = torch.matmul(torch.matmul(rows, slices), columns.transpose(1, 2))
    return crops, in_rows[:, :, None] * in_columns[:, None, :]


def paste(crops: Tensor, frames: CropFrames, shape: tuple[int, int]) -> Tensor:
    """Puts crops back on slices of the given shape, which are 0 outside the crop.

    Args:
        crops: Crops `[P, size, size]`, floating point.
        frames: Places of the P crops.
        shape: Shape (Hs, Ws) of the slices.

    Returns:
        Slices `[P, Hs, Ws]`.
    """
    columns = _write_weights(frames, 0, shape[1])
    rows = _write_weights(frames, 1, shape[0])
    return torch.matmul(torch.matmul(rows, crops), columns.transpose(1, 2))


def _read_weights(frames: CropFrames, axis: int, length: int) -> tuple[Tensor, Tensor]:
    """Weights `[P, size, length]` of slice pixels for crop pixels, and whether crop pixels lie on the slice."""
    position = frames.positions()[:, axis]
    inside = ((position >= 0) & (position <= length)).to(position.dtype)
    centres = torch.arange(length, device=position.device, dtype=position.dtype) + 0.5
    reach = (2 * frames.half[:, axis] / frames.size).clamp(min=1)[:, None, None]
    distance = (position.clamp(0.5, length - 0.5)[..., None] - centres).abs()
    weights = (1 - distance / reach).clamp(min=0)
    return weights / weights.sum(dim=2, keepdim=True), inside


def _write_weights(frames: CropFrames, axis: int, length: int) -> Tensor:
    """Weights `[P, length, size]` of crop pixels for slice pixels; zero for slice pixels outside the crop."""
    centres = torch.arange(length, device=frames.centre.device, dtype=frames.centre.dtype) + 0.5
    position = ((centres - frames.centre[:, axis, None]) / frames.half[:, axis, None] + 1) * (frames.size / 2)
    inside = (position >= 0) & (position <= frames.size)
    steps = torch.arange(frames.size, device=position.device, dtype=position.dtype) + 0.5
    reach = (frames.size / (2 * frames.half[:, axis])).clamp(min=1)[:, None, None]
    distance = (position.clamp(0.5, frames.size - 0.5)[..., None] - steps).abs()
    weights = (1 - distance / reach).clamp(min=0)
    return weights / weights.sum(dim=2, keepdim=True) * inside[..., None]
