"""How the generalist is prompted: how far boxes are widened, and on the slices of which views."""

from __future__ import annotations

import math
from collections.abc import Sequence

from common.cohort.volumes import VIEWS
from common.plan.decision import Decision
from common.plan.fingerprint import Fingerprint, Triple

SHARE_OF_DIAMETER = 1 / 8
"""Widening as a share of an object's diameter: FM-ABS's 6.25 mm are about an eighth of a left atrium's."""

FEWEST_SLICES = 8
"""Number of slices across a picture below which a generalist sees too little in it."""


def widening(fingerprint: Fingerprint, spacing: Sequence[float]) -> Decision | None:
    """By how many millimetres boxes are widened; None where no label tells how large the objects are.

    Args:
        fingerprint: The cohort.
        spacing: Target spacing in millimetres.
    """
    if not fingerprint.volumes_mm3:
        return None
    diameters = {value: diameter(volume) for value, volume in fingerprint.volumes_mm3.items()}
    value, least = min(diameters.items(), key=lambda item: item[1])
    most = round(max(SHARE_OF_DIAMETER * least, min(spacing)), 1)
    return Decision(
        "widening of boxes",
        f"0 to {most:g} mm",
        f"An eighth of the diameter of {fingerprint.classes[value]}, {least:.3g} mm as a sphere of its median volume, "
        "as FM-ABS's 6.25 mm are of a left atrium; at least a voxel.",
        {"widen_mm": [0.0, most]},
    )


def diameter(volume: float) -> float:
    """Diameter of a sphere of this volume."""
    return (6 * volume / math.pi) ** (1 / 3)


def views(size: Triple) -> Decision:
    """The views whose slices prompt the generalist.

    A picture of a view that cuts across a few thick slices has as few rows or columns. How thick they are matters less.

    Args:
        size: Size of a scan in voxels.
    """
    shorter = {view: min(size[:axis] + size[axis + 1 :]) for view, axis in VIEWS.items()}
    good = [view for view, side in shorter.items() if side >= FEWEST_SLICES]
    if not good:
        good = [max(shorter, key=lambda view: shorter[view])]
    left_out = [view for view in shorter if view not in good]
    if not left_out:
        return Decision(
            "prompted views",
            "all three",
            f"Their pictures have at least {FEWEST_SLICES} rows and columns.",
            {"prompted_views": "all"},
        )
    found = ", ".join(f"{view} {shorter[view]:g}" for view in left_out)
    return Decision(
        "prompted views",
        ", ".join(good),
        f"Pictures of the others have too few rows or columns, less than {FEWEST_SLICES}, for a generalist: {found}.",
        {"prompted_views": ",".join(good)},
    )
