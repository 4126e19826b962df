"""Scores of segmentations: overlap and surface distances, for each scan and on average."""

from common.metrics.choice import chosen_on
from common.metrics.intervals import Interval, bootstrap_interval
from common.metrics.paired import holm, least_p, signed_rank_p
from common.metrics.scan_metrics import ScanMetrics
from common.metrics.scores import Scores, segmentation_scores
from common.metrics.summary import MEASURES, means_by_scan, summarise
from common.metrics.surface import SurfaceDistances, surface_distances
from common.metrics.uncertainty import PredictionUncertainty

__all__ = [
    "MEASURES",
    "Interval",
    "PredictionUncertainty",
    "ScanMetrics",
    "Scores",
    "SurfaceDistances",
    "bootstrap_interval",
    "chosen_on",
    "holm",
    "least_p",
    "means_by_scan",
    "segmentation_scores",
    "signed_rank_p",
    "summarise",
    "surface_distances",
]
