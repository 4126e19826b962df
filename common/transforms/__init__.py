"""Views, annotations and what is done to images and labels."""

from common.transforms.annotations import LoadAnnotationsd
from common.transforms.cross_label import cross_label, middle_slices
from common.transforms.intensity_curve import RandIntensityCurved, bezier_curve, random_intensity_curves
from common.transforms.perturb import Perturb
from common.transforms.stitch import Stitchd, StitchLayout, stitch, unstitch
from common.transforms.swap_boxes import SwapBoxes
from common.transforms.views import VIEWS

__all__ = [
    "VIEWS",
    "LoadAnnotationsd",
    "Perturb",
    "RandIntensityCurved",
    "StitchLayout",
    "Stitchd",
    "SwapBoxes",
    "bezier_curve",
    "cross_label",
    "middle_slices",
    "random_intensity_curves",
    "stitch",
    "unstitch",
]
