"""The training engine, its teacher, inference and precision."""

from common.engines.bottleneck import BottleneckInferer, deepest_layer
from common.engines.inferer import ProbabilityInferer
from common.engines.precision import autocast, best_precision
from common.engines.scans import each_scan
from common.engines.semi_supervised import SemiSupervisedTrainer, mean_teacher

__all__ = [
    "BottleneckInferer",
    "ProbabilityInferer",
    "SemiSupervisedTrainer",
    "autocast",
    "best_precision",
    "deepest_layer",
    "each_scan",
    "mean_teacher",
]
