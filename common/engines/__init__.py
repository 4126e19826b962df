"""The training engine, its step, and inference."""

from common.engines.bottleneck import BottleneckInferer, deepest_layer
from common.engines.inferer import ProbabilityInferer
from common.engines.precision import autocast, best_precision
from common.engines.scans import each_scan
from common.engines.semi_supervised import SemiSupervisedTrainer

__all__ = [
    "BottleneckInferer",
    "ProbabilityInferer",
    "SemiSupervisedTrainer",
    "autocast",
    "best_precision",
    "deepest_layer",
    "each_scan",
]
