"""How good a segmentation is."""

from common.metrics.scan_metrics import ScanMetrics
from common.metrics.scores import Scores, segmentation_scores
from common.metrics.summary import MEASURES, summarise
from common.metrics.surface import SurfaceDistances, surface_distances

__all__ = [
    "MEASURES",
    "ScanMetrics",
    "Scores",
    "SurfaceDistances",
    "segmentation_scores",
    "summarise",
    "surface_distances",
]
