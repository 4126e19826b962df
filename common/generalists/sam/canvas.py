"""Where slices lie on the square image that SAM's encoder takes, and the way there and back."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import torch
from torch import Tensor
from torch.nn import functional as F

STRIDE = 4
"""Pixels of the input to a pixel of the decoder's masks."""


@dataclass(frozen=True)
class Canvas:
    """A square image with a grid of tiles, one slice a tile, each in its tile's upper left corner.

    With one tile this is SAM's own preparation: the longer side is scaled to the input's, the rest is padding. Several
    tiles, so that one pass of the encoder serves several slices, are this project's idea.

    Attributes:
        side: of the square in pixels.
        shape: (rows, columns) of a slice.
        grid: tiles a row and a column.
        stretch: slices fill their tile, else they keep their aspect.
    """

    side: int
    shape: tuple[int, int]
    grid: int = 1
    stretch: bool = False

    @classmethod
    def fitting(cls, side: int, shape: tuple[int, int], slices: int = 1, *, stretch: bool = False) -> Canvas:
        """The largest grid of at most `slices` tiles on which no slice has to be shrunk; one tile at least.

        Raises:
            ValueError: if `slices` is not the square of a whole number.
        """
        if slices < 1 or isqrt(slices) ** 2 != slices:
            raise ValueError(f"slices_per_pass must be 1, 4, 9, 16 or another square number, got {slices}")
        return next(
            canvas
            for grid in range(isqrt(slices), 0, -1)
            if (canvas := cls(side, shape, grid, stretch)).tile >= max(shape) or grid == 1
        )

    @property
    def slices(self) -> int:
        """Tiles on the square."""
        return self.grid**2

    @property
    def tile(self) -> int:
        """Side of a tile in pixels: a multiple of 16, the side of a token, so that tiles share none."""
        return self.side // self.grid // 16 * 16

    @property
    def scaled(self) -> tuple[int, int]:
        """(rows, columns) of a slice on its tile."""
        if self.stretch:
            return self.tile, self.tile
        factor = self.tile / max(self.shape)
        rows, columns = (max(1, int(size * factor + 0.5)) for size in self.shape)
        return rows, columns

    def enlarge(self, slices: Tensor) -> Tensor:
        """Slices `[S, rows, columns]` of 0..255 scaled to their size on the canvas; whole grey levels, like SAM's own.

        SAM's code scales bilinearly, MedSAM's (`stretch`) bicubically; both filter where they shrink.
        """
        mode = "bicubic" if self.stretch else "bilinear"
        scaled = F.interpolate(slices[:, None], self.scaled, mode=mode, align_corners=False, antialias=True)
        return scaled[:, 0].round().clamp(0, 255)

    def lay_out(self, scaled: Tensor) -> Tensor:
        """Puts consecutive prepared slices on canvases: `[S, channels, h, w]` to `[N, channels, side, side]`."""
        number, channels, rows, columns = scaled.shape
        canvases = -(-number // self.slices)
        tiles = scaled.new_zeros(canvases * self.slices, channels, self.tile, self.tile)
        tiles[:number, :, :rows, :columns] = scaled
        grid = tiles.view(canvases, self.grid, self.grid, channels, self.tile, self.tile)
        image = grid.permute(0, 3, 1, 4, 2, 5).reshape(canvases, channels, self.grid * self.tile, -1)
        rest = self.side - self.grid * self.tile
        return F.pad(image, (0, rest, 0, rest))

    def corners(self, slice_index: Tensor) -> Tensor:
        """(x, y) of the upper left corner of each slice's tile on its canvas: `[P]` to `[P, 2]` long."""
        place = slice_index % self.slices
        return torch.stack([place % self.grid, place // self.grid], dim=-1) * self.tile

    def move(self, coordinates: Tensor, slice_index: Tensor) -> Tensor:
        """(x, y) in pixels of slices, `[P, N, 2]`, to pixels of the canvas."""
        factors = coordinates.new_tensor([self.scaled[1] / self.shape[1], self.scaled[0] / self.shape[0]])
        return coordinates * factors + self.corners(slice_index)[:, None].to(coordinates)

    def cut(self, masks: Tensor, slice_index: Tensor) -> Tensor:
        """Probabilities on the slices from the decoder's logits.

        Each model's own order is kept: SAM enlarges logits to the canvas, takes the slice's part and scales it to the
        slice; MedSAM scales probabilities to the slice.

        Args:
            masks: logits `[P, side / 4, side / 4]`.
            slice_index: `[P]`.

        Returns:
            `[P, rows, columns]` in 0..1.
        """
        size = self.tile // STRIDE
        corners = (self.corners(slice_index) // STRIDE).tolist()
        tiles = torch.stack([mask[y : y + size, x : x + size] for mask, (x, y) in zip(masks, corners, strict=True)])[
            :, None
        ]
        if self.stretch:
            return F.interpolate(tiles.sigmoid(), self.shape, mode="bilinear", align_corners=False)[:, 0]
        rows, columns = self.scaled
        tiles = F.interpolate(tiles, (self.tile, self.tile), mode="bilinear", align_corners=False)
        logits = F.interpolate(tiles[..., :rows, :columns], self.shape, mode="bilinear", align_corners=False)
        return logits[:, 0].sigmoid()
