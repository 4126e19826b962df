"""The largest patch, the widest network and the largest batch that fit a device together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from common.plan.decision import by
from common.plan.fingerprint import Fingerprint, Triple
from common.plan.machine import Machine
from common.plan.memory import Network, scan_bytes, training_bytes
from common.plan.patch import Patch, largest_patch, wanted_patch
from common.plan.recipe import Recipe
from common.transforms.stitch import StitchLayout

CPU_VOXELS = 48**3
"""Voxels of a patch with which a V-Net trains in hours, not weeks, on a CPU."""

CPU_WIDTH = 8
"""Width of a V-Net that does so."""

USABLE = 0.8
"""Share of a device's memory that a training may take; CUDA itself and the gaps between tensors take the rest."""

ENOUGH = 0.5
"""Share of the patch wanted from which on a smaller batch or network is not worth a larger patch."""

SAM_IMAGE = 1024
"""Side of the images of SAM, in pixels, on which slices are stitched."""


@dataclass(frozen=True)
class Fit:
    """What fits a device's memory.

    Attributes:
        wanted: Patch that would be taken if memory had no end, in voxels.
        patch: Patch in voxels.
        width: Channels of the network's first level; 0 if the network's memory is not known.
        batch: Patches per batch of annotated scans, and of others.
        taken: Bytes that a training step takes, about; 0 if that is not known.
    """

    wanted: Patch
    patch: Patch
    width: int
    batch: tuple[int, int]
    taken: int


def fit(fingerprint: Fingerprint, recipe: Recipe, machine: Machine, *, spacing: Triple, sparse: bool) -> Fit:
    """The largest patch, with a narrower network or a smaller batch only where it would be much too small.

    A patch is never larger than the bundle's own, nor on a CPU than 48 x 48 x 48 voxels.

    Args:
        fingerprint: The cohort.
        recipe: The bundle.
        machine: Where it will be trained.
        spacing: Target spacing in millimetres.
        sparse: Whether slices are annotated, not whole scans.

    Raises:
        ValueError: If the device's memory is too small for the smallest patch.
    """
    size = median_size(fingerprint, spacing)
    wanted = wanted_patch(size, divisor=recipe.divisor, sparse=sparse)
    if recipe.network is None:
        return _stitched(wanted, recipe)
    network = recipe.network
    wanted = _taken_by(network, wanted, size)
    most = min(recipe.patch_voxels, CPU_VOXELS) if machine.slow and network.widths else recipe.patch_voxels
    smallest = _taken_by(network, (network.divisor,) * 3, size)
    step = _Step(network, fingerprint, spacing)
    room = int(machine.memory * USABLE)
    free = largest_patch(wanted, divisor=network.divisor, fits=lambda patch: math.prod(patch) <= most) or smallest
    choices = _choices(network, recipe.batch(), machine)
    found = [
        Fit(wanted, patch, width, batch, step.taken(patch, width, batch))
        for width, batch in choices
        if (patch := step.largest(free, smallest, width, batch, room)) is not None
    ]
    if not found:
        least = step.taken(smallest, *choices[-1])
        raise ValueError(
            f"memory_gb must be at least {math.ceil(least / USABLE / 1e7) / 100:g} for the smallest patch of a "
            f"{network.name}, {by(smallest)} voxels, got {machine.memory / 1e9:.3g}; give a device with more memory."
        )
    large = [it for it in found if math.prod(it.patch) >= ENOUGH * math.prod(free)]
    return large[0] if large else found[-1]


def median_size(fingerprint: Fingerprint, spacing: Triple) -> Triple:
    """Size of the median training scan at a spacing, in voxels."""
    first, second, third = np.median(fingerprint.sizes_at(spacing), axis=0).tolist()
    return first, second, third


@dataclass(frozen=True)
class _Step:
    """A training step of a network on a cohort."""

    network: Network
    fingerprint: Fingerprint
    spacing: Triple

    def taken(self, patch: Patch, width: int, batch: tuple[int, int]) -> int:
        """Bytes that it takes, or a whole scan's sliding window if that is more."""
        images = {"channels": self.fingerprint.channels, "classes": self.fingerprint.num_classes}
        largest = self.fingerprint.sizes_at(self.spacing).max(axis=0).tolist()
        step = training_bytes(self.network, patch=patch, batch=sum(batch), width=width, **images)
        return max(step, scan_bytes(largest, **images))

    def largest(self, free: Patch, smallest: Patch, width: int, batch: tuple[int, int], room: int) -> Patch | None:
        """The largest patch that fits into so many bytes."""

        def fits(patch: Patch) -> bool:
            return math.prod(patch) >= math.prod(smallest) and self.taken(patch, width, batch) <= room

        return largest_patch(free, divisor=self.network.divisor, fits=fits)


def _choices(network: Network, batch: tuple[int, int], machine: Machine) -> list[tuple[int, tuple[int, int]]]:
    """Widths and batches, best first."""
    widths = [width for width in network.widths if not machine.slow or width <= CPU_WIDTH] or [network.width]
    halved = (max(1, batch[0] // 2), batch[1] // 2)
    return [(widths[0], batch), *((width, halved) for width in widths)]


def _taken_by(network: Network, patch: Patch, size: Triple) -> Patch:
    """The patch, or a longer one if the network needs it: a Swin UNETR's deepest level must have two voxels."""
    if network.widths or max(patch) > network.divisor:
        return patch
    longest = int(np.argmax(size))
    first, second, third = (2 * side if axis == longest else side for axis, side in enumerate(patch))
    return first, second, third


def _stitched(wanted: Patch, recipe: Recipe) -> Fit:
    """The largest patch whose slices fit into one image of SAM."""

    def fits(patch: Patch) -> bool:
        return max(patch[:2]) <= SAM_IMAGE and StitchLayout.fitting(patch, SAM_IMAGE).images == 1

    smallest = (recipe.divisor,) * 3
    patch = largest_patch(wanted, divisor=recipe.divisor, fits=fits) or smallest
    return Fit(wanted, patch, 0, recipe.batch(), 0)
