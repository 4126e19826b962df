"""How intensities are brought to a scale that a network can learn from."""

from __future__ import annotations

from common.plan.decision import Decision
from common.plan.fingerprint import Fingerprint

CUT_OUT = 0.25
"""Share of empty voxels above which a scan is taken to be cut out of its surroundings (Isensee et al., 2021)."""


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
    if fingerprint.modality == "ct":
        missing = "several channels" if fingerprint.channels > 1 else "no label that tells which intensities matter"
        reason = f"The images are CT ({known}), but there are {missing}, so each channel is standardised by itself."
        return Decision("intensities", "z-score of each scan and channel", reason, {"window": None, "nonzero": False})
    reason = f"The images have no scale of their own ({known})."
    cut_out = fingerprint.background > CUT_OUT
    if cut_out:
        reason += f" {fingerprint.background:.0%} of a scan's voxels have the value of its corners: they are empty"
        reason += (
            ", and 0, so that they can be left out."
            if fingerprint.empty_is_zero
            else ", but not 0, and so cannot be left out; cropping scans helps (prepare brats --crop True)."
        )
    nonzero = cut_out and fingerprint.empty_is_zero
    value = "z-score of each scan and channel" + (", over the voxels that are not 0" if nonzero else "")
    return Decision("intensities", value, reason, {"window": None, "nonzero": nonzero})
