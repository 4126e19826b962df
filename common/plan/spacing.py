"""The voxel size that a network should see, and the command that resamples a cohort to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from common.cohort.check import SPACING_TOLERANCE
from common.plan.decision import Decision, by
from common.plan.fingerprint import Fingerprint, Triple

THICK = 3.0
"""Ratio of a slice's thickness to the size of its pixels above which slices are thick (Isensee et al., 2021)."""

THICK_PERCENTILE = 10
"""Percentile of the thicknesses to which thick slices are resampled where they differ (Isensee et al., 2021)."""

LEAST_SHARE = 1 / 8
"""Share of a scan that a patch should hold: half of it along each axis."""

WORTHWHILE = 1.2
"""Least factor by which voxels are made coarser; less changes little and costs a resampling."""


def thick_axis(spacing: Sequence[float] | NDArray[np.floating]) -> int | None:
    """The axis across thick slices; None if there are none.

    Args:
        spacing: Distance between voxels along each axis, in millimetres.
    """
    sides = np.asarray(spacing, float)
    axis = int(sides.argmax())
    others = np.delete(sides, axis)
    return axis if sides[axis] > THICK * others.max() else None


def usual_spacing(fingerprint: Fingerprint) -> tuple[Triple, str]:
    """The spacing that most of a cohort has, and why it is the target.

    It is the median along each axis. Across thick slices of several thicknesses it is the 10th percentile, so that
    most scans lose no slice, and at least the size of the pixels.
    """
    target = fingerprint.spacing.copy()
    axis = thick_axis(target)
    if axis is None:
        return _rounded(target), "the median of the training scans along each axis"
    thickness = np.percentile(np.asarray(fingerprint.spacings)[:, axis], THICK_PERCENTILE)
    target[axis] = max(thickness, np.delete(target, axis).max())
    if np.isclose(thickness, fingerprint.spacing[axis], rtol=SPACING_TOLERANCE):
        return _rounded(target), "the median of the training scans; thick slices are kept as they are"
    return _rounded(target), (
        f"the median of the training scans, and across their thick slices the {THICK_PERCENTILE}th percentile, so that "
        "most scans lose none"
    )


def coarser(spacing: Sequence[float], size: Sequence[float], patch: Sequence[int]) -> Triple | None:
    """A coarser spacing at which a patch holds an eighth of a scan; None if it does so, nearly, as it is.

    Thick slices stay as they are.

    Args:
        spacing: Distance between voxels along each axis, in millimetres.
        size: Size of a scan at this spacing, in voxels.
        patch: Size of the patch in voxels.
    """
    share = float(np.prod(np.minimum(patch, size)) / np.prod(size))
    thick = thick_axis(spacing)
    free = [axis for axis in range(3) if axis != thick]
    factor = (LEAST_SHARE / share) ** (1 / len(free))
    if factor < WORTHWHILE:
        return None
    target = np.asarray(spacing, float).copy()
    target[free] *= factor
    first, second, third = (float(f"{side:.2g}") if axis in free else side for axis, side in enumerate(target.tolist()))
    return first, second, third


def spacing_decision(fingerprint: Fingerprint, target: Triple, reason: str) -> Decision:
    """The target spacing, and the command that makes it where the cohort has another."""
    differing = differing_scans(fingerprint, target)
    if not differing:
        return Decision("spacing", f"{by(target)} mm", f"It is {reason}; the cohort has it.")
    remedy = (
        f"{differing} of {fingerprint.training} training scans have another, so prepare the cohort again with "
        f"--spacing {option(target)}, and plan that one."
    )
    return Decision("spacing", f"{by(target)} mm", f"It is {reason}. {remedy}")


def differing_scans(fingerprint: Fingerprint, target: Sequence[float]) -> int:
    """Number of training scans whose spacing is not the target."""
    apart = abs(np.asarray(fingerprint.spacings, float) / np.asarray(target, float) - 1) > SPACING_TOLERANCE
    return int(apart.any(axis=1).sum())


def option(target: Sequence[float]) -> str:
    """A spacing as ``--spacing`` takes it: one number, or three."""
    if len(set(target)) == 1:
        return f"{target[0]:g}"
    return ",".join(f"{side:g}" for side in target)


def _rounded(spacing: NDArray[np.floating]) -> Triple:
    first, second, third = np.round(spacing, 4).tolist()
    return first, second, third
