"""Transforms of images and labels: normalisation, stitching slices, random intensity curves, perturbations, swaps."""

from common.transforms.intensity_curve import RandIntensityCurved, bezier_curve, random_intensity_curves
from common.transforms.normalize import NormalizeScand
from common.transforms.perturb import Perturb
from common.transforms.stitch import Stitchd, StitchLayout, stitch, unstitch
from common.transforms.swap_boxes import SwapBoxes

__all__ = [
    "NormalizeScand",
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
