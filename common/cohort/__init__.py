"""The scans of a study: their files, labels, voxel grids and views."""

from common.cohort.check import check_cohort
from common.cohort.cohort import Cohort, CohortError, Scan, write_datalist
from common.cohort.images import check_images, images, usual_spacing
from common.cohort.volumes import VIEWS, read_labels_ras, read_ras

__all__ = [
    "VIEWS",
    "Cohort",
    "CohortError",
    "Scan",
    "check_cohort",
    "check_images",
    "images",
    "read_labels_ras",
    "read_ras",
    "usual_spacing",
    "write_datalist",
]
