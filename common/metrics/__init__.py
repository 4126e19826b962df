"""Scores of segmentations: overlap and surface distances, for each scan and on average."""

from common.metrics.choice import chosen_on
from common.metrics.scan_metrics import ScanMetrics
from common.metrics.scores import Scores, segmentation_scores
from common.metrics.summary import MEASURES, means_by_scan, summarise
from common.metrics.surface import SurfaceDistances, surface_distances

__all__ = [
    "MEASURES",
    "ScanMetrics",
    "Scores",
    "SurfaceDistances",
    "chosen_on",
    "means_by_scan",
    "segmentation_scores",
    "summarise",
    "surface_distances",
]
