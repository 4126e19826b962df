"""Which kind of scanner made a cohort's images."""

from __future__ import annotations

from collections.abc import Sequence

MODALITIES = ("ct", "mr", "other")
"""Computed tomography, which has a scale of intensities; magnetic resonance, and others that have none."""

AIR = -500.0
"""Intensity in Hounsfield units that air and lungs lie below, and nothing else of a body."""

SPAN = 500.0
"""Least range of a CT's intensities: from air to soft tissue, and further to bone."""


def guess_modality(channels: Sequence[str], ranges: Sequence[tuple[float, float]]) -> tuple[str, str]:
    """The modality by the channels' names or, if they do not tell, by the intensities.

    Args:
        channels: Names of the images' channels, as far as they are known.
        ranges: Least and greatest intensity of each scan that was read.

    Returns:
        ``ct`` or ``mr``, which here stands for every image without a scale of its own, and how that was seen.
    """
    named = [name.lower().split()[0] for name in channels if name.strip()]
    if named and all(name == "ct" for name in named):
        return "ct", "the datalist calls the channel CT"
    if any(name.startswith(("mr", "t1", "t2", "flair", "adc")) for name in named):
        return "mr", f"the datalist names the channels {', '.join(channels)}"
    scanned = sum(low <= AIR and high - low >= SPAN for low, high in ranges)
    if len(channels) <= 1 and ranges and scanned > len(ranges) / 2:
        return "ct", f"{scanned} of {len(ranges)} scans reach below {AIR:g}, as only air in Hounsfield units does"
    return "mr", f"{len(ranges) - scanned} of {len(ranges)} scans have no intensities like those of air in CT"
