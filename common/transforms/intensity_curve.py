"""Changes the intensities of each slice of a volume along a random curve."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from math import pi
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from monai.utils import convert_to_dst_type, convert_to_tensor
from torch import Tensor

KNOTS = 1024
"""Number of points computed on a curve; they lie closer at its ends, where it can be steepest."""
BINS = 1024
"""Number of intervals of a curve's table over evenly spaced values."""
GROUP = 40
"""Number of slices processed together, few enough to stay in a processor's cache."""
TOLERANCE = 4e-4
"""Largest error of a table in units of the scaled intensity; steeper curves are interpolated between their knots."""


def bezier_curve(values: Tensor, control_points: Tensor) -> Tensor:
    """Evaluates cubic Bézier curves as functions: for each value v, the y of the point of its curve where x = v.

    A curve is (x, y)(t) = (1-t)³P₀ + 3(1-t)²t P₁ + 3(1-t)t² P₂ + t³P₃ for t in 0..1. The result's error is below 1e-3
    for y in 0..1, whatever the control points.

    Args:
        values: Values for S curves, ``[S, ...]``, floating point; they are clamped to 0..1.
        control_points: (x, y) of P₀ to P₃ of each curve, ``[S, 4, 2]``. The x must be 0 for P₀, 1 for P₃ and in 0..1
            for the others, so that x(t) never falls.

    Returns:
        A new tensor of the values' shape, type and device.

    Raises:
        ValueError: If values or control points have another type or shape, or x(t) may fall.

    Example:
        >>> straight = torch.tensor([[[0, 0], [1 / 3, 1 / 3], [2 / 3, 2 / 3], [1, 1]]])
        >>> bezier_curve(torch.tensor([[0, 0.25, 1]]), straight)
        tensor([[0.0000, 0.2500, 1.0000]])
    """
    if not values.is_floating_point() or values.ndim < 1:
        raise ValueError(f"values must be floating point [S, ...], got {values.dtype} of shape {tuple(values.shape)}.")
    expected = (values.shape[0], 4, 2)
    if tuple(control_points.shape) != expected:
        raise ValueError(f"control_points must have the shape {expected}, got {tuple(control_points.shape)}.")
    x = control_points[..., 0]
    if not ((x[:, 0] == 0) & (x[:, 3] == 1) & ((x >= 0) & (x <= 1)).all(dim=1)).all():
        raise ValueError("control_points must have an x of 0 first, of 1 last, and in 0..1 between.")
    flat = values.flatten(1) if values.ndim > 1 else values[:, None]
    flat = flat.float()
    knots_x, knots_y = _knots(control_points.to(values.device))
    evenly = torch.linspace(0, 1, BINS + 1, dtype=knots_x.dtype, device=values.device)
    table = _interpolate(evenly.repeat(len(flat), 1), knots_x, knots_y)
    curved = _look_up(flat, table.float())
    steep = ((_look_up(knots_x, table) - knots_y).abs() > TOLERANCE).any(dim=1).nonzero()[:, 0]
    if len(steep):
        curved[steep] = _interpolate(flat[steep].to(knots_x.dtype), knots_x[steep], knots_y[steep]).float()
    return curved.to(values.dtype).view(values.shape)


def monotone_control_points(drawn: Tensor, *, inverted: float = 0.0) -> Tensor:
    """Makes monotone curves of random numbers: from (0, 0) to (1, 1), or inverted from (0, 1) to (1, 0).

    Args:
        drawn: Random numbers ``[S, 5]``, uniform in 0..1.
        inverted: Probability of a curve to be inverted, 0..1.

    Returns:
        Control points ``[S, 4, 2]`` for `bezier_curve`, of which the inner two are uniform in the unit square.
    """
    points = drawn.new_zeros(len(drawn), 4, 2)
    points[:, 3] = 1
    points[:, 1:3] = drawn[:, 1:].unflatten(1, (2, 2))
    points[..., 1] = torch.where(drawn[:, :1] < inverted, 1 - points[..., 1], points[..., 1])
    return points


def random_intensity_curves(
    volume: Tensor,
    generator: torch.Generator,
    *,
    prob: float = 0.5,
    inverted: float = 0.0,
    rescale: bool = False,
) -> Tensor:
    """Changes the intensities of axial slices along random curves, each slice along its own.

    This is the non-linear transformation of Models Genesis (Zhou et al. 2021), as the code of SFR (IEEE TMI 2025)
    applies it to slices before they are stitched; its paper does not mention it. By default it is the code's: a curve
    rises and is taken of the intensities as they are, so that those of a changed slice below 0 become 0 and those above
    1 become 1. With `rescale`, which is ours, no intensity is cut off.

    Args:
        volume: Volume ``[..., H, W, D]``, floating point, which is not written to. Each slice ``[H, W]`` of each
            channel has a curve of its own.
        generator: Random generator. If it is on the CPU, a batch draws the same numbers as its volumes one by one.
        prob: Probability of a slice to be changed, 0..1.
        inverted: Probability of a changed slice to have its intensities inverted, 0..1.
        rescale: Whether a slice is scaled to 0..1 by its own range before, and back to that range afterwards. Constant
            slices do not change then.

    Returns:
        A new tensor of the volume's shape, type and device, which lies in memory slice by slice, as stitching needs it.

    Raises:
        ValueError: If the volume is not floating point or has fewer than three axes, or a probability is not in 0..1.
    """
    if not volume.is_floating_point() or volume.ndim < 3:
        raise ValueError(
            f"volume must be floating point [..., H, W, D], got {volume.dtype} of shape {tuple(volume.shape)}."
        )
    _require_probabilities(prob, inverted)
    stacked = volume.movedim(-1, -3)
    precise = torch.promote_types(volume.dtype, torch.float32)
    slices = stacked.to(precise, copy=True, memory_format=torch.contiguous_format).flatten(0, -3).flatten(1)
    drawn = torch.rand(len(slices), 6, generator=generator, device=generator.device).to(slices.device)
    points = monotone_control_points(drawn[:, 1:], inverted=inverted)
    low, high = slices.aminmax(dim=1, keepdim=True) if rescale else (slices.new_zeros(1, 1), slices.new_ones(1, 1))
    low, span = low.expand(len(slices), 1), (high - low).expand(len(slices), 1)
    index = ((drawn[:, 0] < prob) & (span > 0)[:, 0]).nonzero()[:, 0]
    for group in index.split(GROUP):
        curves = bezier_curve(slices[group].sub_(low[group]).div_(span[group]), points[group])
        slices[group] = curves.mul_(span[group]).add_(low[group])
    return slices.to(volume.dtype).view(stacked.shape).movedim(-3, -1)


class RandIntensityCurved(Randomizable, MapTransform):
    """Dictionary form of `random_intensity_curves`; slices of the same index change alike under all keys.

    Args:
        keys: Keys of the images ``[C, H, W, D]``.
        prob: Probability of a slice to be changed, 0..1.
        inverted: Probability of a changed slice to have its intensities inverted, 0..1.
        rescale: Whether a curve is taken of a slice's intensities scaled to 0..1, not of those as they are.
        allow_missing_keys: Whether items may lack a key.

    Raises:
        ValueError: If a probability is not in 0..1.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.5,
        inverted: float = 0.0,
        rescale: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        _require_probabilities(prob, inverted)
        self.prob = prob
        self.inverted = inverted
        self.rescale = rescale
        self.curves_seed = 0

    def randomize(self, data: Any = None) -> None:
        self.curves_seed = int(self.R.randint(np.iinfo(np.int32).max))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        self.randomize()
        for key in self.key_iterator(item):
            image = convert_to_tensor(item[key])
            generator = torch.Generator().manual_seed(self.curves_seed)
            changed = random_intensity_curves(
                image, generator, prob=self.prob, inverted=self.inverted, rescale=self.rescale
            )
            item[key], *_ = convert_to_dst_type(changed, item[key])
        return item


def _knots(control_points: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of the curves' knots, ``[S, KNOTS]`` each, in the double precision that steep curves need."""
    t = (1 - torch.linspace(0, pi, KNOTS, dtype=torch.float64, device=control_points.device).cos()) / 2
    basis = torch.stack([(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3])
    x, y = (control_points.double().movedim(-1, 0) @ basis).unbind()
    return x.cummax(dim=1).values, y


def _interpolate(values: Tensor, knots_x: Tensor, knots_y: Tensor) -> Tensor:
    """Interpolates ``[S, n]`` values, clamped to 0..1, linearly between knots ``[S, KNOTS]``."""
    right = torch.searchsorted(knots_x, values).clamp_(1, KNOTS - 1)
    left = right - 1
    x, y = knots_x.gather(1, left), knots_y.gather(1, left)
    width = (knots_x.gather(1, right) - x).clamp_(min=torch.finfo(x.dtype).tiny)
    return torch.lerp(y, knots_y.gather(1, right), ((values - x) / width).clamp_(0, 1))


def _look_up(values: Tensor, table: Tensor) -> Tensor:
    """Interpolates ``[S, n]`` values, clamped to 0..1, linearly in tables ``[S, BINS + 1]``."""
    position = (values * BINS).clamp_(0, BINS)
    entry = position.int()
    entry += torch.arange(len(table), dtype=torch.int32, device=table.device)[:, None] * (BINS + 1)
    rise = table.diff(dim=1, append=table[:, -1:])
    start, rise = (part.flatten().index_select(0, entry.flatten()) for part in (table, rise))
    return start.addcmul_(position.frac_().flatten(), rise).view(values.shape)


def _require_probabilities(prob: float, inverted: float) -> None:
    if not (0 <= prob <= 1 and 0 <= inverted <= 1):
        raise ValueError(f"prob and inverted must lie in 0..1, got {prob} and {inverted}.")
