"""How the generalist is prompted: how far boxes are widened, and on the slices of which views."""

from __future__ import annotations

import math
from collections.abc import Sequence

from common.cohort.volumes import VIEWS
from common.plan.decision import Decision, by
from common.plan.fingerprint import Fingerprint
from common.plan.spacing import THICK

SHARE_OF_DIAMETER = 1 / 8
"""Widening as a share of an object's diameter: FM-ABS's 6.25 mm are about an eighth of a left atrium's."""

FEWEST_PIXELS = 16
"""Shorter side of a picture below which a generalist sees too little."""


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


def views(size: Sequence[float], spacing: Sequence[float]) -> Decision:
    """The views whose slices prompt the generalist.

    A view is left out if its pictures have pixels more than three times as long as wide, or fewer than 16 slices
    across: both come of thick slices.

    Args:
        size: Size of a scan in voxels.
        spacing: Distance between its voxels in millimetres.
    """
    shapes = {}
    for view, axis in VIEWS.items():
        sides = [other for other in range(3) if other != axis]
        long, short = sorted((spacing[side] for side in sides), reverse=True)
        shapes[view] = (long / short, min(size[side] for side in sides))
    good = [view for view, (ratio, least) in shapes.items() if ratio <= THICK and least >= FEWEST_PIXELS]
    if not good:
        good = [min(shapes, key=lambda view: (shapes[view][0], -shapes[view][1]))]
    left_out = [view for view in shapes if view not in good]
    if not left_out:
        return Decision(
            "prompted views",
            "all three",
            f"Their pictures have pixels of at most 1 : {THICK:g}, and at least {FEWEST_PIXELS} rows and columns.",
            {"prompted_views": "all"},
        )
    found = "; ".join(
        f"{view} pixels 1 : {shapes[view][0]:.2g}, {shapes[view][1]:g} slices across" for view in left_out
    )
    return Decision(
        "prompted views",
        ", ".join(good),
        f"Voxels of {by(spacing)} mm make pictures in which a generalist sees little in the other views ({found}).",
        {"prompted_views": ",".join(good)},
    )
