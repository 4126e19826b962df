"""How intensities are brought to a scale that a network can learn from."""

from __future__ import annotations

from common.plan.decision import Decision
from common.plan.fingerprint import Fingerprint

SKULL_STRIPPED = 0.25
"""Share of voxels that are exactly 0 above which a scan is taken to be cut out of its surroundings (Isensee et al.,
2021)."""


def intensity_decision(fingerprint: Fingerprint) -> Decision:
    """A window for CT, else the z-score of each scan; without the voxels around a brain that was cut out."""
    known = fingerprint.modality_reason
    if fingerprint.modality == "ct" and fingerprint.channels == 1 and fingerprint.window is not None:
        low, high, mean, deviation = (round(value, 2) for value in fingerprint.window)
        return Decision(
            "intensities",
            f"clipped to {low:g} to {high:g}, then minus {mean:g} and divided by {deviation:g}",
            f"The images are CT ({known}), in which a tissue has the same value in every scan; these are the "
            "percentiles 0.5 and 99.5, the mean and the standard deviation of the classes' voxels.",
            {"window": [low, high, mean, deviation], "nonzero": False},
        )
    cut_out = fingerprint.zeros > SKULL_STRIPPED
    settings = {"window": None, "nonzero": cut_out}
    if fingerprint.modality == "ct":
        missing = "several channels" if fingerprint.channels > 1 else "no label that tells which intensities matter"
        reason = f"The images are CT ({known}), but there are {missing}, so each channel is standardised by itself."
        return Decision("intensities", "z-score of each scan and channel", reason, {"window": None, "nonzero": False})
    share = f"{fingerprint.zeros:.0%} of a scan's voxels are exactly 0"
    return Decision(
        "intensities",
        "z-score of each scan and channel" + (", over the voxels that are not 0" if cut_out else ""),
        f"The images have no scale of their own ({known})"
        + (f", and {share}: they are cut out of their surroundings." if cut_out else "."),
        settings,
    )
