"""Procedurally generated 2D scenes: the only training data of the embedded generalist.

A scene looks somewhat like a slice of an MR scan. Its background is the arg-max partition of smooth random fields. On
it lie bright and dark neighbours, and one object: a union of deformed ellipses with tubes attached (a chamber with its
vessels), or a region of the partition. At random, the object is cut by a neighbour or a line, the tissue beyond the cut
has the same intensity (so that there is no border), and a thin wall, broken in places, surrounds the object. Texture,
blur, a bias field and noise come last. Nothing is taken from a real scan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

_FIELDS = 7
_BLOBS = 3
_TUBES = 4
_NEIGHBOURS = 5


@dataclass(frozen=True)
class Scenes:
    """A batch of scenes.

    Attributes:
        images: Pictures `[B, 1, S, S]`, floating point, on any intensity scale.
        masks: Masks `[B, 1, S, S]`, floating point: 1 inside the (connected) object, 0 elsewhere.
    """

    images: Tensor
    masks: Tensor


class _Random:
    """Random numbers of several distributions from one generator, shaped `[B, *shape]`."""

    def __init__(self, batch: int, generator: torch.Generator) -> None:
        self.batch = batch
        self.generator = generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(self.batch, *shape, generator=self.generator) * (high - low) + low

    def log_uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return self.uniform(math.log(low), math.log(high), *shape).exp()

    def normal(self, std: float, *shape: int) -> Tensor:
        return torch.randn(self.batch, *shape, generator=self.generator) * std

    def chance(self, probability: float, *shape: int) -> Tensor:
        return torch.rand(self.batch, *shape, generator=self.generator) < probability


def smooth_fields(length: Tensor, size: int, generator: torch.Generator, waves: int = 16) -> Tensor:
    """Draws Gaussian random fields of unit variance with a squared-exponential covariance.

    Each field is a sum of random plane waves (random Fourier features); since a plane wave separates into products of
    functions of x and of y, all fields are one batched matrix product.

    Args:
        length: Length scale of each of N fields per scene, `[B, N]`, in pixels.
        size: Side of the square fields in pixels.
        generator: Random generator on the CPU.
        waves: Number of plane waves per field.

    Returns:
        Fields `[B, N, size, size]`.
    """
    batch, number = length.shape
    frequency = torch.randn(batch, number, waves, 2, generator=generator) / length[..., None, None]
    phase = torch.rand(batch, number, waves, generator=generator) * 2 * math.pi
    axis = torch.arange(size, dtype=torch.float32) - size / 2
    along_x = frequency[..., 0:1] * axis
    along_y = frequency[..., 1:2] * axis + phase[..., None]
    rows = torch.cat([along_y.cos(), -along_y.sin()], dim=2).transpose(-1, -2)
    columns = torch.cat([along_x.cos(), along_x.sin()], dim=2)
    return torch.matmul(rows, columns) * math.sqrt(2 / waves)


def _ellipses(x: Tensor, y: Tensor, centre: Tensor, radius: Tensor, ratio: Tensor, angle: Tensor) -> Tensor:
    """Approximate signed distance in pixels (positive inside) to N ellipses per scene: `[B, N, S, S]`."""
    dx = x[:, None] - centre[..., 0, None, None]
    dy = y[:, None] - centre[..., 1, None, None]
    cos, sin = angle.cos()[..., None, None], angle.sin()[..., None, None]
    along = (dx * cos + dy * sin) / radius[..., None, None]
    across = (dy * cos - dx * sin) / (radius * ratio)[..., None, None]
    return (1 - (along.square() + across.square() + 1e-6).sqrt()) * (radius * ratio.sqrt())[..., None, None]


def _tubes(x: Tensor, y: Tensor, start: Tensor, angle: Tensor, length: Tensor, width: Tensor) -> Tensor:
    """Signed distance in pixels (positive inside) to N capsules of half-width `width` per scene: `[B, N, S, S]`."""
    dx = x[:, None] - start[..., 0, None, None]
    dy = y[:, None] - start[..., 1, None, None]
    cos, sin = angle.cos()[..., None, None], angle.sin()[..., None, None]
    along = dx * cos + dy * sin
    beyond = along - torch.minimum(along.clamp(min=0), length[..., None, None])
    return width[..., None, None] - (beyond.square() + (dy * cos - dx * sin).square() + 1e-6).sqrt()


def _paint(canvas: Tensor, intensity: Tensor, distance: Tensor, opacity: Tensor | float = 1.0) -> Tensor:
    cover = (distance + 0.5).clamp(0, 1) * opacity
    return torch.lerp(canvas, intensity.expand_as(canvas), cover)


def _blur(image: Tensor, sigma: float) -> Tensor:
    radius = math.ceil(2.5 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    image = F.conv2d(F.pad(image, (radius, radius, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    return F.conv2d(F.pad(image, (0, 0, radius, radius), mode="replicate"), kernel.view(1, 1, -1, 1))


def _draw(batch: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draws images and the masks of their objects (of any size and number of components), `[B, 1, S, S]` each."""
    draw = _Random(batch, generator)
    scale = size / 96
    column = (batch, 1, 1, 1)

    bends = smooth_fields(
        torch.cat([draw.log_uniform(12, 30, 2), draw.log_uniform(4, 9, 2)], dim=1) * scale, size, generator
    )
    large, small = draw.uniform(0, 6, 1) * scale, draw.uniform(0, 1.5, 1) * scale
    axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    x = axis[None, None, :] + large[..., None] * bends[:, 0] + small[..., None] * bends[:, 2]
    y = axis[None, :, None] + large[..., None] * bends[:, 1] + small[..., None] * bends[:, 3]

    length = draw.log_uniform(6, 18) * scale
    fields = smooth_fields(length[:, None].expand(-1, _FIELDS), size, generator)
    region = fields.argmax(dim=1, keepdim=True)
    of_partition = (fields[:, 0] - fields[:, 1:].amax(dim=1)) * (length * 0.7)[:, None, None]

    # the object: a main ellipse, further ones on its border, tubes that leave it
    radius = draw.log_uniform(8, 36) * scale
    centre = draw.normal(6 * scale, 1, 2)
    around = draw.uniform(0, 2 * math.pi, _BLOBS - 1)
    offset = radius[:, None] * draw.uniform(0.4, 1.1, _BLOBS - 1)
    more = centre + torch.stack([around.cos(), around.sin()], dim=-1) * offset[..., None]
    ratio = draw.log_uniform(0.25, 1, _BLOBS)
    radii = torch.cat([radius[:, None], radius[:, None] * draw.uniform(0.35, 0.9, _BLOBS - 1)], dim=1)
    blobs = _ellipses(x, y, torch.cat([centre, more], dim=1), radii, ratio, draw.uniform(0, math.pi, _BLOBS))
    present = torch.cat([torch.ones(batch, 1, dtype=torch.bool), draw.chance(0.35, _BLOBS - 1)], dim=1)
    blob = blobs.masked_fill(~present[..., None, None], -1e3).amax(dim=1)
    angle = draw.uniform(0, 2 * math.pi, _TUBES)
    start = centre + torch.stack([angle.cos(), angle.sin()], dim=-1) * (radius[:, None] * ratio[:, :1] * 0.5)[..., None]
    angle = angle + draw.normal(0.4, _TUBES)
    reach = radius[:, None] * draw.uniform(0.4, 1.5, _TUBES)
    width = (radius[:, None] * draw.uniform(0.08, 0.35, _TUBES)).clamp(min=1.2)
    absent = ~(draw.chance(0.5, _TUBES) & draw.chance(0.7, 1))[..., None, None]
    tube = _tubes(x, y, start, angle, reach, width).masked_fill(absent, -1e3).amax(dim=1)
    beyond = reach + radius[:, None] * draw.uniform(0.3, 2, _TUBES) * draw.chance(0.6, _TUBES)
    long_tube = _tubes(x, y, start, angle, beyond, width).masked_fill(absent, -1e3).amax(dim=1)
    bumps = smooth_fields(draw.log_uniform(3, 10, 2) * scale, size, generator)
    bump = bumps[:, 0] * (draw.uniform(0, 0.16) * radius)[:, None, None]
    whole = torch.maximum(blob, long_tube) + bump
    distance = torch.maximum(blob, tube) + bump

    # neighbours: some touch the object, many are about as bright
    direction = draw.uniform(0, 2 * math.pi, _NEIGHBOURS)
    other_radius = draw.log_uniform(4, 26, _NEIGHBOURS) * scale
    away = (radius[:, None] + other_radius) * draw.uniform(0.65, 1.7, _NEIGHBOURS)
    other_centre = centre + torch.stack([direction.cos(), direction.sin()], dim=-1) * away[..., None]
    others = _ellipses(
        x,
        y,
        other_centre,
        other_radius,
        draw.log_uniform(0.35, 1, _NEIGHBOURS),
        draw.uniform(0, math.pi, _NEIGHBOURS),
    )
    bitten = torch.minimum(distance, -others[:, 0] - draw.uniform(0, 3)[:, None, None] * scale)
    distance = torch.where(draw.chance(0.3)[:, None, None], bitten, distance)
    cut_angle = draw.uniform(0, 2 * math.pi)[:, None, None]
    line = x * cut_angle.cos() + y * cut_angle.sin() + (radius * draw.uniform(0.05, 0.7))[:, None, None]
    distance = torch.where(draw.chance(0.3)[:, None, None], torch.minimum(distance, line), distance)
    is_region = draw.chance(0.25)[:, None, None]
    distance = torch.where(is_region, of_partition, distance)[:, None]
    whole = torch.where(is_region, of_partition, whole)[:, None]

    # intensities
    bright = draw.chance(0.65)
    level = torch.where(bright, draw.uniform(0.55, 1), draw.uniform(0, 1)).view(column)
    ceiling = torch.where(bright, draw.uniform(0.4, 1), torch.ones(batch))[:, None]
    regions = draw.uniform(0, 1, _FIELDS) * ceiling
    image = regions.gather(1, region.flatten(1)).view(batch, 1, size, size)
    image = torch.lerp(image, _blur(image, 1.0), draw.uniform(0, 1).view(column))
    levels = draw.uniform(0, 1, _NEIGHBOURS)
    levels = torch.where(draw.chance(0.45, _NEIGHBOURS), level[:, :, 0, 0] + draw.normal(0.05, _NEIGHBOURS), levels)
    shown = draw.chance(0.7, _NEIGHBOURS)
    for index in range(_NEIGHBOURS):
        opacity = shown[:, index].float().view(column)
        image = _paint(image, levels[:, index].view(column), others[:, index : index + 1], opacity)
    continued = draw.chance(0.75).float().view(column)
    image = _paint(image, level + draw.normal(0.04).view(column), whole, continued)
    wall = draw.log_uniform(0.8, 4).view(column) * scale
    wall_level = torch.where(draw.chance(0.7), draw.uniform(0, 0.35), draw.uniform(0, 1)).view(column)
    strength = (draw.uniform(-0.5, 1.5).view(column) + bumps[:, 1:2] * 0.8).clamp(0, 1)
    strength = strength * draw.chance(0.75).float().view(column)
    image = _paint(image, wall_level, distance + wall, strength)
    image = _paint(image, level, distance)

    texture = smooth_fields(
        torch.stack([draw.log_uniform(1.2, 4), draw.log_uniform(3, 9), draw.uniform(20, 60)], dim=1) * scale,
        size,
        generator,
        waves=24,
    )
    inside = (distance + 0.5).clamp(0, 1)
    amount = torch.lerp(draw.uniform(0.3, 1.2).view(column), draw.uniform(0.1, 1).view(column), inside)
    fine, coarse = draw.uniform(0, 0.14).view(column), draw.uniform(0, 0.12).view(column)
    image = image + amount * (fine * texture[:, 0:1] + coarse * texture[:, 1:2])
    softness = draw.uniform(0, 2)
    image = torch.lerp(image, _blur(image, 0.8 * scale), softness.clamp(0, 1).view(column))
    image = torch.lerp(image, _blur(image, 1.3 * scale), (softness - 1).clamp(0, 1).view(column))
    image = image * (draw.uniform(0, 0.35).view(column) * texture[:, 2:3]).exp()
    noise = draw.normal(1, 1, size, size)
    noise = torch.lerp(noise, _blur(noise, 0.8) * 2.5, draw.uniform(0, 1).view(column))
    image = image + noise * draw.log_uniform(0.01, 0.14).view(column)
    image = torch.where(draw.chance(0.1).view(column), 1 - image, image)
    return image, (distance > 0).float()


def random_scenes(number: int, generator: torch.Generator, size: int = 80) -> Scenes:
    """Draws scenes.

    Args:
        number: Number of scenes in the batch.
        generator: Random generator on the CPU; the same state gives the same scenes.
        size: Side of the scenes in pixels; objects are 4 % to 70 % of it wide.

    Returns:
        Scenes on the CPU, each with one connected object of at least 0.3 % and at most 45 % of the scene's area.

    Raises:
        ValueError: If `number` or `size` is too small.
    """
    if number < 1:
        raise ValueError(f"number of scenes must be at least 1, got {number}")
    if size < 32:
        raise ValueError(f"size of a scene must be at least 32 pixels, got {size}")
    images: list[Tensor] = []
    masks: list[Tensor] = []
    found = 0
    while found < number:
        batch = math.ceil((number - found) * 1.15) + 1
        image, mask = _draw(batch, size, generator)
        mask = one_component(mask, generator)
        share = mask.mean(dim=(1, 2, 3))
        good = (share >= 0.003) & (share <= 0.45)
        images.append(image[good])
        masks.append(mask[good])
        found += int(good.sum())
    return Scenes(torch.cat(images)[:number], torch.cat(masks)[:number])


def one_component(masks: Tensor, generator: torch.Generator) -> Tensor:
    """Keeps the connected component that a random foreground pixel of each mask lies in."""
    array = masks[:, 0].numpy() > 0
    structure = np.zeros((3, 3, 3), dtype=bool)
    structure[1] = ndimage.generate_binary_structure(2, 1)
    labels = ndimage.label(array, structure)[0]
    picks = (torch.rand(masks.shape[0], generator=generator) + 1e-9) * masks.sum(dim=(1, 2, 3))
    flat = torch.from_numpy(labels).flatten(1)
    order = (flat > 0).cumsum(dim=1)
    position = (order < picks[:, None]).sum(dim=1).clamp(max=flat.shape[1] - 1)
    chosen = flat.gather(1, position[:, None])
    return ((flat == chosen) & (flat > 0)).view(masks.shape).float()
