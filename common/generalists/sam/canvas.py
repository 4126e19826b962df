"""Places slices on the square image that SAM's encoder takes, and cuts their parts out of its output."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from common.generalists.sam.usage import SAM, Usage


@dataclass(frozen=True)
class Canvas:
    """A square image with a grid of tiles, each with one slice in its upper left corner.

    With one tile this is SAM's own preparation: the slice's longer side is scaled to the input's, and the rest is
    padding. To use several tiles, so that one pass of the encoder serves several slices, is our choice.

    Attributes:
        side: Side of the square in pixels.
        shape: (rows, columns) of a slice.
        grid: Number of tiles per row and per column.
        usage: How the model expects slices and coordinates.
        token: Side of the square that a pixel of the embedding stands for, in pixels of the canvas.
    """

    side: int
    shape: tuple[int, int]
    grid: int = 1
    usage: Usage = SAM
    token: int = 16

    @classmethod
    def fitting(
        cls, side: int, shape: tuple[int, int], slices: int = 1, *, usage: Usage = SAM, token: int = 16
    ) -> Canvas:
        """Chooses the largest grid of at most `slices` tiles on which no slice has to be shrunk, or else one tile.

        Raises:
            ValueError: If `slices` is not the square of a whole number.
        """
        if slices < 1 or isqrt(slices) ** 2 != slices:
            raise ValueError(f"slices_per_pass must be 1, 4, 9, 16 or another square number, got {slices}")
        return next(
            canvas
            for grid in range(isqrt(slices), 0, -1)
            if (canvas := cls(side, shape, grid, usage, token)).tile >= max(shape) or grid == 1
        )

    @property
    def slices(self) -> int:
        """Number of tiles, and so of slices, on the square."""
        return self.grid**2

    @property
    def tile(self) -> int:
        """Side of a tile in pixels: a multiple of the side of a token, so that no two tiles share a token."""
        return self.side // self.grid // self.token * self.token

    @property
    def scaled(self) -> tuple[int, int]:
        """(rows, columns) of a slice on its tile."""
        if self.usage.stretch:
            return self.tile, self.tile
        factor = self.tile / max(self.shape)
        rows, columns = (max(1, int(size * factor + 0.5)) for size in self.shape)
        return rows, columns

    def enlarge(self, slices: Tensor) -> Tensor:
        """Scales slices `[S, rows, columns]` of whole grey levels, 0..255, to their size on the canvas; stays whole."""
        mode = self.usage.interpolation
        if mode == "area":
            rows, columns = (_covered(*sizes).to(slices.device) for sizes in zip(self.shape, self.scaled, strict=True))
            mean = (rows @ slices.double() @ columns.T) / (self.shape[0] * self.shape[1])
            return (mean + 0.5).floor().to(slices)
        scaled = F.interpolate(slices[:, None], self.scaled, mode=mode, align_corners=False, antialias=True)
        return scaled[:, 0].round().clamp(0, 255)

    @property
    def covered(self) -> tuple[int, int]:
        """Numbers of rows and columns of the square beyond which there is padding alone."""
        before = (self.grid - 1) * self.tile
        return before + self.scaled[0], before + self.scaled[1]

    def lay_out(self, scaled: Tensor) -> Tensor:
        """Lays consecutive scaled slices `[S, channels, h, w]` on canvases `[N, channels, side, side]`."""
        number, channels, rows, columns = scaled.shape
        canvases = -(-number // self.slices)
        tiles = scaled.new_zeros(canvases * self.slices, channels, self.tile, self.tile)
        tiles[:number, :, :rows, :columns] = scaled
        image = rearrange(tiles, "(n row column) c h w -> n c (row h) (column w)", row=self.grid, column=self.grid)
        rest = self.side - self.grid * self.tile
        return F.pad(image, (0, rest, 0, rest))

    def corners(self, slice_index: Tensor) -> Tensor:
        """Upper left corner (x, y) of each slice's tile on its canvas, from `[P]` to int64 `[P, 2]`."""
        place = slice_index % self.slices
        return torch.stack([place % self.grid, place // self.grid], dim=-1) * self.tile

    def move(self, coordinates: Tensor, slice_index: Tensor) -> Tensor:
        """Converts (x, y) in pixels of the slices, `[P, N, 2]`, to pixels of the canvas."""
        corners = self.corners(slice_index)[:, None].to(coordinates)
        if self.usage.whole_corners:
            return (coordinates.double() * (self.tile / max(self.shape))).trunc().to(coordinates) + corners
        factors = coordinates.new_tensor([self.scaled[1] / self.shape[1], self.scaled[0] / self.shape[0]])
        return coordinates * factors + corners

    def part(self, maps: Tensor, slice_index: Tensor) -> tuple[Tensor, Tensor]:
        """Cuts the tile of each object out of maps of the whole canvas.

        Args:
            maps: A map for each of P objects, `[P, C, side / n, side / n]` with a whole number n that divides the tile.
            slice_index: Index of the slice that each object lies on, `[P]`.

        Returns:
            The tiles, `[P, C, tile / n, tile / n]`, and the upper left corner (x, y) of each in its map, `[P, 2]`.
        """
        stride = self.side // maps.shape[-1]
        size = self.tile // stride
        corners = self.corners(slice_index) // stride
        tiles = [it[:, y : y + size, x : x + size] for it, (x, y) in zip(maps, corners.tolist(), strict=True)]
        return torch.stack(tiles), corners

    def fit(self, masks: Tensor) -> Tensor:
        """Turns logits on the tiles into probabilities on the slices.

        The order of steps is each model's own: SAM enlarges logits to the tile, cuts out the slice and scales it to
        its shape; LiteMedSAM does the same, but its logits have the tile's size already; MedSAM scales probabilities
        to the slice's shape.

        Args:
            masks: Logits of P objects on their tiles, `[P, tile / n, tile / n]` with a whole number n.

        Returns:
            Probabilities `[P, rows, columns]` in 0..1.
        """
        tiles = masks[:, None]
        if self.usage.stretch:
            return F.interpolate(tiles.sigmoid(), self.shape, mode="bilinear", align_corners=False)[:, 0]
        rows, columns = self.scaled
        tiles = F.interpolate(tiles, (self.tile, self.tile), mode="bilinear", align_corners=False)
        logits = F.interpolate(tiles[..., :rows, :columns], self.shape, mode="bilinear", align_corners=False)
        return logits[:, 0].sigmoid()


def _covered(old: int, new: int) -> Tensor:
    """How much of each of `old` pixels in a row lies in each of `new` ones: float64 `[new, old]`.

    The unit is the part of an old pixel that makes all overlaps whole numbers; a new pixel has `old` of them. Sums of
    whole numbers are exact, so that halves are rounded alike everywhere.
    """
    edges = torch.arange(new + 1, dtype=torch.float64) * old
    pixels = torch.arange(old) * new
    overlap = torch.minimum(edges[1:, None], pixels + new) - torch.maximum(edges[:-1, None], pixels)
    return overlap.clamp(min=0)
