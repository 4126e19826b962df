"""Lays the slices of a volume side by side on square images, and takes such images back to the volume."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isqrt
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import convert_to_tensor, ensure_tuple_rep
from torch import Tensor
from torch.nn import functional as F

from common.checks import check_one_of

FITS = ("pad", "resize")
"""What happens to slices larger than a tile: they are cropped to their middle, or scaled down."""


@dataclass(frozen=True)
class StitchLayout:
    """Where the axial slices of a volume lie on its stitched images (SFR, IEEE TMI 2025, the stitching module).

    An image holds `grid` × `grid` square tiles, filled row by row: tile (r, c) of image n shows slice
    ``n·(grid² - overlap) + r·grid + c`` in its middle, or half a pixel up or left of it. Margins, unused tiles and what
    the tiles leave free at the right and the bottom hold `fill`.

    Attributes:
        shape: Shape of the volume, (H, W, D) in voxels, whose slices are H × W.
        size: Side of the stitched images in pixels.
        grid: Number of tiles per row and per column.
        tile: Side of a tile in pixels.
        fit: What happens to slices larger than a tile: ``pad`` (they are cropped) or ``resize``.
        overlap: Number of slices that consecutive images share; 0 if there is one image.
        images: Number of images.
        fill: Value outside the slices.
    """

    shape: tuple[int, int, int]
    size: int
    grid: int
    tile: int
    fit: str
    overlap: int
    images: int
    fill: float

    @classmethod
    def fitting(
        cls,
        shape: Sequence[int],
        size: int,
        *,
        fit: str = "pad",
        tile: int | None = None,
        overlap: int = 0,
        fill: float = 0.0,
    ) -> StitchLayout:
        """Chooses the layout for a volume; see `stitch` for the arguments and the rule.

        Raises:
            ValueError: If the volume is empty or its slices are larger than the image, or an argument is out of range.

        Example:
            >>> layout = StitchLayout.fitting((112, 112, 80), 1024)
            >>> layout.grid, layout.tile, layout.images
            (9, 113, 1)
        """
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"volume must be [..., H, W, D] with at least one voxel, got a shape of {tuple(shape)}.")
        check_one_of("fit", fit, FITS)
        height, width, depth = (int(length) for length in shape)
        if max(height, width) > size:
            raise ValueError(
                f"size must be at least {max(height, width)}, the slices' longer side in pixels, got {size}; use "
                "larger images or smaller windows of the volume."
            )
        if tile is not None and not 1 <= tile <= size:
            raise ValueError(f"tile must lie in 1..{size}, the side of the stitched image, got {tile}.")
        if tile is None:
            grid = min(isqrt(depth - 1) + 1, size if fit == "resize" else size // max(height, width))
            tile = size // grid
        else:
            grid = size // tile
        tiles = grid**2
        if overlap < 0 or (overlap >= tiles and depth > tiles):
            raise ValueError(
                f"overlap must lie in 0..{tiles - 1}, less than the {tiles} tiles of an image, got {overlap}."
            )
        if depth <= tiles:
            overlap = 0
        images = 1 + max(0, -(-(depth - tiles) // (tiles - overlap)))
        return cls((height, width, depth), size, grid, tile, fit, overlap, images, fill)

    @property
    def tiles(self) -> int:
        """Number of tiles of an image."""
        return self.grid**2

    @property
    def step(self) -> int:
        """Number of slices from the first slice of an image to the first of the next."""
        return self.tiles - self.overlap

    @property
    def shown(self) -> tuple[int, int]:
        """(rows, columns) of a slice on its tile, in pixels; a slice that is scaled down keeps its aspect ratio."""
        height, width, _ = self.shape
        if self.fit == "pad" or max(height, width) <= self.tile:
            return min(height, self.tile), min(width, self.tile)
        factor = self.tile / max(height, width)
        return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))


def stitch(
    volume: Tensor, size: int, *, fit: str = "pad", tile: int | None = None, overlap: int = 0, fill: float = 0.0
) -> tuple[Tensor, StitchLayout]:
    """Lays the axial slices of a volume row by row on square images; see `StitchLayout` for where.

    By default ``fit="pad"`` uses the fewest tiles that hold all slices on one image, ⌈√D⌉ per row. So that no slice is
    cropped, a row has at most ``size // max(H, W)`` tiles, and there are as many images as that needs. 112×112×80 in
    1024 gives SFR's 9×9 tiles of 113 pixels, 128×128×64 gives 8×8 of 128. ``fit="resize"`` always uses ⌈√D⌉ per row,
    and so one image.

    Args:
        volume: Volume ``[C, H, W, D]`` or batch ``[B, C, H, W, D]``, of any type.
        size: Side of the images in pixels, at least max(H, W).
        fit: What happens to slices larger than a tile. ``pad``: they are cropped to their middle. ``resize``: they are
            scaled down in their aspect ratio, floating point bilinearly with a filter, integers by the nearest value.
        tile: Side of a tile in pixels, for ``size // tile`` tiles per row; by default as above.
        overlap: Number of slices that consecutive images share, less than the tiles of an image. It has no effect if
            there is one image.
        fill: Value outside the slices; use 255 (the ignore index) for labels.

    Returns:
        The images, ``[N, C, size, size]`` or ``[B, N, C, size, size]`` (N is 1 if the tiles of one image suffice), a
        new plain tensor on the volume's device; and the layout, which `unstitch` needs.

    Raises:
        ValueError: If the volume has another number of axes or is empty, its slices are larger than the image, its type
            cannot hold `fill`, or an argument is out of range.

    Example:
        >>> image, layout = stitch(torch.arange(20.0).view(1, 2, 2, 5), 7, fill=-1)
        >>> image[0, 0].int()
        tensor([[ 0,  5,  1,  6,  2,  7, -1],
                [10, 15, 11, 16, 12, 17, -1],
                [ 3,  8,  4,  9, -1, -1, -1],
                [13, 18, 14, 19, -1, -1, -1],
                [-1, -1, -1, -1, -1, -1, -1],
                [-1, -1, -1, -1, -1, -1, -1],
                [-1, -1, -1, -1, -1, -1, -1]], dtype=torch.int32)
    """
    volume = volume.as_tensor() if isinstance(volume, MetaTensor) else volume
    if volume.ndim not in (4, 5):
        raise ValueError(f"volume must be [C, H, W, D] or [B, C, H, W, D], got a shape of {tuple(volume.shape)}.")
    layout = StitchLayout.fitting(volume.shape[-3:], size, fit=fit, tile=tile, overlap=overlap, fill=fill)
    _require_type_holds(fill, volume.dtype)
    volume = _resized(volume, layout.shown) if fit == "resize" else _middle(volume, layout.shown)
    unused = layout.images * layout.step + layout.overlap - layout.shape[-1]
    slices = F.pad(volume.movedim(-1, -4), (0, 0) * 3 + (0, unused), value=fill)
    tiles = slices.unfold(-4, layout.tiles, layout.step).unflatten(-1, (layout.grid, layout.grid))
    images = volume.new_full((*tiles.shape[:-4], size, size), fill)
    _tiles(images, layout).copy_(tiles.movedim((-2, -1), (-4, -2)))
    return images, layout


def unstitch(image: Tensor, layout: StitchLayout, *, fill: float | None = None) -> Tensor:
    """Takes stitched images, or a network's output for them, back to the volume: the inverse of `stitch`.

    It is exact unless slices are larger than a tile. Then what ``pad`` cropped is filled, and what ``resize`` scaled
    down is scaled up, which does not restore the volume.

    Args:
        image: Images ``[N, C, size, size]`` or ``[B, N, C, size, size]`` with any number of channels, such as logits.
        layout: Layout that `stitch` returned.
        fill: Value of what was cropped; by default the layout's own.

    Returns:
        The volume ``[C, H, W, D]`` or ``[B, C, H, W, D]``, a plain tensor of the image's type. A slice that several
        images show is their mean if the type is floating point, or else the first.

    Raises:
        ValueError: If the image does not have the layout's shape, or its type cannot hold `fill`.
    """
    image = image.as_tensor() if isinstance(image, MetaTensor) else image
    expected = (layout.images, layout.size, layout.size)
    if image.ndim not in (4, 5) or (image.shape[-4], *image.shape[-2:]) != expected:
        raise ValueError(
            f"image must be [N, C, size, size] or [B, N, C, size, size] with N, size, size = {expected} of its layout, "
            f"got a shape of {tuple(image.shape)}."
        )
    shown = _tiles(image, layout).movedim((-6, -4, -2), (-3, -2, -1)).flatten(-3)
    volume = shown[..., : layout.shape[-1]] if layout.images == 1 else _merged(shown, layout)
    height, width, depth = layout.shape
    if layout.shown == (height, width):
        return volume
    if layout.fit == "resize":
        return _resized(volume, (height, width))
    fill = layout.fill if fill is None else fill
    _require_type_holds(fill, image.dtype)
    whole = volume.new_full((*volume.shape[:-3], height, width, depth), fill)
    _middle(whole, layout.shown).copy_(volume)
    return whole


class Stitchd(MapTransform, InvertibleTransform):
    """Dictionary form of `stitch`, with `unstitch` as its inverse.

    Items `[C, H, W, D]` become plain tensors `[N, C, size, size]`. Stitched images do not have the scan's axes, so the
    affine is dropped, and the inverse gives plain tensors, too. To rotate and flip the stitched images and their labels
    alike, add MONAI's `RandRotate90d(spatial_axes=(1, 2))` and `RandFlipd(spatial_axis=1)` or 2, which take N for the
    channels.

    Args:
        keys: Keys of the entries to stitch, all by the same rule.
        size: Side of the images in pixels.
        fit: ``pad`` or ``resize``, see `stitch`.
        tile: Side of a tile in pixels; by default by the rule of `stitch`.
        overlap: Number of slices that consecutive images share.
        fill: Value outside the slices, one for all keys or one per key: ``(0, 255)`` for ``("image", "label")``.
        allow_missing_keys: Whether items may lack a key.
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: int,
        fit: str = "pad",
        tile: int | None = None,
        overlap: int = 0,
        fill: float | Sequence[float] = 0.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.size = size
        self.fit = fit
        self.tile = tile
        self.overlap = overlap
        self.fill = ensure_tuple_rep(fill, len(self.keys))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key, fill in self.key_iterator(item, self.fill):
            volume = convert_to_tensor(item[key])
            item[key], layout = stitch(volume, self.size, fit=self.fit, tile=self.tile, overlap=self.overlap, fill=fill)
            self.push_transform(item, key, extra_info=asdict(layout))
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            if self.trace_key(key) in item:
                item[key] = convert_to_tensor(item[key])
            layout = self.pop_transform(item, key)["extra_info"]
            item[key] = unstitch(item[key], StitchLayout(**{**layout, "shape": tuple(map(int, layout["shape"]))}))
        return item


def _tiles(images: Tensor, layout: StitchLayout) -> Tensor:
    """The pixels that slices lie on, as a view ``[..., N, C, grid, rows, grid, columns]``."""
    used = layout.grid * layout.tile
    cells = (layout.grid, layout.tile)
    tiles = images[..., :used, :used].unflatten(-1, cells).unflatten(-3, cells)
    rows, columns = layout.shown
    top, left = (layout.tile - rows) // 2, (layout.tile - columns) // 2
    return tiles[..., top : top + rows, :, left : left + columns]


def _middle(volume: Tensor, shown: tuple[int, int]) -> Tensor:
    """The middle of all slices, as a view ``[..., rows, columns, D]``."""
    top, left = ((whole - part) // 2 for whole, part in zip(volume.shape[-3:-1], shown, strict=True))
    return volume[..., top : top + shown[0], left : left + shown[1], :]


def _resized(volume: Tensor, shape: tuple[int, int]) -> Tensor:
    """Scales all slices: floating point bilinearly, filtered if they shrink; integers by the nearest value."""
    if volume.shape[-3:-1] == shape:
        return volume
    if not volume.is_floating_point():
        rows, columns = (
            ((torch.arange(new, device=volume.device) + 0.5) * (old / new)).long().clamp(max=old - 1)
            for old, new in zip(volume.shape[-3:-1], shape, strict=True)
        )
        return volume.index_select(-3, rows).index_select(-2, columns)
    slices = volume.movedim(-1, -3)
    precise = slices.flatten(0, -4).to(torch.promote_types(volume.dtype, torch.float32))
    scaled = F.interpolate(precise, shape, mode="bilinear", align_corners=False, antialias=True).to(volume.dtype)
    return scaled.unflatten(0, slices.shape[:-3]).movedim(-3, -1)


def _merged(shown: Tensor, layout: StitchLayout) -> Tensor:
    """Merges the slices of all tiles, ``[..., N·tiles]``, some of which show the same slice, to ``[..., D]``."""
    device = shown.device
    starts = torch.arange(layout.images, device=device) * layout.step
    depth = layout.shape[-1]
    index = (starts[:, None] + torch.arange(layout.tiles, device=device)).flatten()
    slices = torch.arange(depth, device=device)
    image = ((slices - layout.tiles) // layout.step + 1).clamp(min=0)
    first = shown.index_select(-1, image * layout.overlap + slices)
    if layout.overlap == 0 or not shown.is_floating_point():
        return first
    used = (index < depth).nonzero()[:, 0]
    index, shown = index[used], shown.index_select(-1, used)
    # The mean is the first plus the mean difference from it, so that rounding does not change equal values.
    difference = shown - first.index_select(-1, index)
    return first + torch.zeros_like(first).index_add(-1, index, difference) / index.bincount(minlength=depth)


def _require_type_holds(fill: float, dtype: torch.dtype) -> None:
    """Refuses a fill that an integer type cannot hold."""
    limits = None if dtype.is_floating_point or dtype.is_complex or dtype == torch.bool else torch.iinfo(dtype)
    if limits is not None and not (limits.min <= fill <= limits.max and fill == int(fill)):
        raise ValueError(f"fill must be a whole number from {limits.min} to {limits.max} for {dtype}, got {fill}.")
