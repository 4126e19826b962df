"""Random intensity curves, slice by slice."""

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
"""Points of a curve, closer at its ends, where it can be steepest."""
BINS = 1024
"""Entries of a curve's table over evenly spaced values."""
GROUP = 40
"""Slices of one call, few enough to stay in a processor's cache."""
TOLERANCE = 4e-4
"""Largest error of a table in units of the scaled intensity; curves too steep for that are searched by their knots."""


def bezier_curve(values: Tensor, control_points: Tensor) -> Tensor:
    """Cubic Bézier curves as functions: for every value v the y of the point of its curve that has x = v.

    A curve is (x, y)(t) = (1-t)³P₀ + 3(1-t)²t P₁ + 3(1-t)t² P₂ + t³P₃ for t in 0..1. Its error is below 1e-3 for y
    in 0..1, whatever the control points.

    Args:
        values: ``[S, ...]``, floating point, of S curves; clamped to 0..1.
        control_points: (x, y) of P₀ to P₃, ``[S, 4, 2]``, x of P₀ is 0, of P₃ 1, of the others in 0..1, so that x(t)
            never falls.

    Returns:
        A new tensor of the values' shape, type and device.

    Raises:
        ValueError: if values or control points have another type or shape, or x may fall.

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


def monotone_control_points(drawn: Tensor, *, inverted: float = 0.5) -> Tensor:
    """Curves from (0, 0) to (1, 1), or inverted from (0, 1) to (1, 0), monotone in either case.

    Args:
        drawn: random numbers ``[S, 5]``, uniform in 0..1.
        inverted: share of the inverted curves, 0..1.

    Returns:
        Control points ``[S, 4, 2]`` for `bezier_curve`, the inner two uniform in the unit square.
    """
    points = drawn.new_zeros(len(drawn), 4, 2)
    points[:, 3] = 1
    points[:, 1:3] = drawn[:, 1:].unflatten(1, (2, 2))
    points[..., 1] = torch.where(drawn[:, :1] < inverted, 1 - points[..., 1], points[..., 1])
    return points


def random_intensity_curves(
    volume: Tensor, generator: torch.Generator, *, prob: float = 0.5, inverted: float = 0.5
) -> Tensor:
    """Changes the intensities of axial slices along random curves, each slice along its own.

    The non-linear transformation of Models Genesis (Zhou et al. 2021), as SFR (IEEE TMI 2025) applies it to slices
    before they are stitched. A slice is scaled to 0..1 by its own range and back to it afterwards.

    Args:
        volume: floating point ``[..., H, W, D]``; slices are ``[H, W]``, each channel's its own. Not written to.
        generator: of the draws. With one of the CPU a batch draws what its volumes would one by one.
        prob: of a slice to be changed, 0..1.
        inverted: share of the changed slices whose intensities are inverted, 0..1.

    Returns:
        A new tensor of the volume's shape, type and device, in memory slice by slice as stitching takes it; constant
        slices are as they were.

    Raises:
        ValueError: if the volume is not floating point or has fewer than three axes, or a probability is not in 0..1.
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
    low, high = slices.amin(dim=1, keepdim=True), slices.amax(dim=1, keepdim=True)
    index = ((drawn[:, 0] < prob) & (high > low)[:, 0]).nonzero()[:, 0]
    for group in index.split(GROUP):
        start, span = low[group], (high - low)[group]
        curves = bezier_curve(slices[group].sub_(start).div_(span), points[group])
        slices[group] = curves.mul_(span).add_(start)
    return slices.to(volume.dtype).view(stacked.shape).movedim(-3, -1)


class RandIntensityCurved(Randomizable, MapTransform):
    """Dictionary form of `random_intensity_curves`; slices of the same number change alike under all keys.

    Args:
        keys: of the images ``[C, H, W, D]``.
        prob: of a slice to be changed, 0..1.
        inverted: share of the changed slices whose intensities are inverted, 0..1.
        allow_missing_keys: do not raise for a key that an item does not have.

    Raises:
        ValueError: if a probability is not in 0..1.
    """

    def __init__(
        self, keys: KeysCollection, prob: float = 0.5, inverted: float = 0.5, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        _require_probabilities(prob, inverted)
        self.prob = prob
        self.inverted = inverted
        self.curves_seed = 0

    def randomize(self, data: Any = None) -> None:
        self.curves_seed = int(self.R.randint(np.iinfo(np.int32).max))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        self.randomize()
        for key in self.key_iterator(item):
            image = convert_to_tensor(item[key])
            generator = torch.Generator().manual_seed(self.curves_seed)
            changed = random_intensity_curves(image, generator, prob=self.prob, inverted=self.inverted)
            item[key], *_ = convert_to_dst_type(changed, item[key])
        return item


def _knots(control_points: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of the curves' knots, ``[S, KNOTS]`` each, in double precision: steep curves ask for it."""
    t = (1 - torch.linspace(0, pi, KNOTS, dtype=torch.float64, device=control_points.device).cos()) / 2
    basis = torch.stack([(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3])
    x, y = (control_points.double().movedim(-1, 0) @ basis).unbind()
    return x.cummax(dim=1).values, y


def _interpolate(values: Tensor, knots_x: Tensor, knots_y: Tensor) -> Tensor:
    """Linear interpolation of ``[S, n]`` values, clamped to 0..1, between knots ``[S, KNOTS]``."""
    right = torch.searchsorted(knots_x, values).clamp_(1, KNOTS - 1)
    left = right - 1
    x, y = knots_x.gather(1, left), knots_y.gather(1, left)
    width = (knots_x.gather(1, right) - x).clamp_(min=torch.finfo(x.dtype).tiny)
    return torch.lerp(y, knots_y.gather(1, right), ((values - x) / width).clamp_(0, 1))


def _look_up(values: Tensor, table: Tensor) -> Tensor:
    """Linear interpolation of ``[S, n]`` values, clamped to 0..1, in tables ``[S, BINS + 1]``."""
    position = (values * BINS).clamp_(0, BINS)
    entry = position.int()
    entry += torch.arange(len(table), dtype=torch.int32, device=table.device)[:, None] * (BINS + 1)
    rise = table.diff(dim=1, append=table[:, -1:])
    start, rise = (part.flatten().index_select(0, entry.flatten()) for part in (table, rise))
    return start.addcmul_(position.frac_().flatten(), rise).view(values.shape)


def _require_probabilities(prob: float, inverted: float) -> None:
    if not (0 <= prob <= 1 and 0 <= inverted <= 1):
        raise ValueError(f"prob and inverted must lie in 0..1, got {prob} and {inverted}.")
