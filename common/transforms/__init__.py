"""Views, annotations and what is done to images and labels."""

from common.transforms.annotations import LoadAnnotationsd
from common.transforms.cross_label import cross_label, middle_slices
from common.transforms.perturb import Perturb
from common.transforms.views import VIEWS

__all__ = ["VIEWS", "LoadAnnotationsd", "Perturb", "cross_label", "middle_slices"]
