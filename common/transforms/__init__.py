"""Transforms of images and labels: stitching slices, random intensity curves, perturbations, exchanged boxes."""

from common.transforms.intensity_curve import RandIntensityCurved, bezier_curve, random_intensity_curves
from common.transforms.perturb import Perturb
from common.transforms.stitch import Stitchd, StitchLayout, stitch, unstitch
from common.transforms.swap_boxes import SwapBoxes

__all__ = [
    "Perturb",
    "RandIntensityCurved",
    "StitchLayout",
    "Stitchd",
    "SwapBoxes",
    "bezier_curve",
    "random_intensity_curves",
    "stitch",
    "unstitch",
]
