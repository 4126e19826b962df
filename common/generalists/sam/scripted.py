"""The stitched SAM in a form that `torch.jit.script` compiles."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.networks.traced import Traced


class ScriptableStitchedSam(nn.Module):
    """The stitched SAM in evaluation, for `torch.jit.script`: the same logits for volumes of every size.

    segment_anything's code cannot be compiled, but its input always is a square image of one size, so that a trace of
    it is right. What depends on the size of the volume is written out here in what TorchScript knows: the layout of
    :func:`common.transforms.stitch.stitch` without its options.

    Args:
        segment: Network from stitched images `[N, 1, S, S]` to logits `[N, C, S, S]`.
        side: Side S of the stitched images in pixels.
        enlarge: Factor by which slices are enlarged before they are stitched.
        unit_range: Whether the intensities of each volume are scaled to 0..1.

    Shapes: From ``[B, 1, H, W, D]`` to ``[B, C, H, W, D]``.
    """

    def __init__(self, segment: nn.Module, side: int, *, enlarge: int, unit_range: bool) -> None:
        super().__init__()
        self.segment = Traced(segment, torch.zeros(2, 1, side, side))
        self.side = side
        self.enlarge = enlarge
        self.unit_range = unit_range
        self.tiny = torch.finfo(torch.float32).tiny

    def forward(self, x: Tensor) -> Tensor:
        if self.unit_range:
            x = to_unit_range(x, self.tiny)
        rows, columns, depth = x.shape[2], x.shape[3], x.shape[4]
        if self.enlarge != 1:
            larger = [rows * self.enlarge, columns * self.enlarge, depth]
            x = F.interpolate(x, larger, mode="trilinear", align_corners=False)
        volume = self._segmented(x)
        if self.enlarge != 1:
            volume = F.interpolate(volume, [rows, columns, depth], mode="trilinear", align_corners=False)
        return volume

    def _segmented(self, x: Tensor) -> Tensor:
        """Stitches the slices of a volume `[B, 1, H, W, D]`, segments the images and takes them apart again."""
        batch, rows, columns, depth = x.shape[0], x.shape[2], x.shape[3], x.shape[4]
        if max(rows, columns) > self.side:
            raise ValueError(f"expected slices of at most {self.side} pixels a side, got {rows} × {columns}.")
        grid = 1
        while grid * grid < depth:
            grid += 1
        grid = min(grid, self.side // max(rows, columns))
        tile = self.side // grid
        tiles = grid * grid
        images = (depth + tiles - 1) // tiles
        top, left, used = (tile - rows) // 2, (tile - columns) // 2, grid * tile
        margins = [left, tile - columns - left, top, tile - rows - top, 0, images * tiles - depth]
        slices = F.pad(x[:, 0].permute(0, 3, 1, 2), margins).reshape(batch * images, grid, grid, tile, tile)
        image = slices.permute(0, 1, 3, 2, 4).reshape(batch * images, 1, used, used)
        logits = self.segment(F.pad(image, [0, self.side - used, 0, self.side - used]))
        cells = logits[:, :, :used, :used].reshape(batch, images, -1, grid, tile, grid, tile)
        shown = cells[..., top : top + rows, :, left : left + columns].permute(0, 2, 4, 6, 1, 3, 5)
        return shown.reshape(batch, -1, rows, columns, images * tiles)[..., :depth]


def to_unit_range(volumes: Tensor, tiny: float) -> Tensor:
    """Scales each volume of `[B, 1, H, W, D]` from its least and greatest intensity to 0..1, a constant one to 0.

    Args:
        volumes: The volumes.
        tiny: Least positive number of their type, which takes the place of a range of 0.
    """
    low, high = volumes.amin((1, 2, 3, 4), keepdim=True), volumes.amax((1, 2, 3, 4), keepdim=True)
    return (volumes - low) / (high - low).clamp(min=tiny)
