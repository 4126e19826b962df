"""The training engine, its teacher, inference, precision and several processes."""

from common.engines.bottleneck import BottleneckInferer, deepest_layer
from common.engines.inferer import ProbabilityInferer
from common.engines.precision import autocast, best_precision
from common.engines.processes import end_processes, local_device, start_processes
from common.engines.scans import each_scan
from common.engines.semi_supervised import SemiSupervisedTrainer, mean_teacher
from common.engines.shared_layers import share_layers

__all__ = [
    "BottleneckInferer",
    "ProbabilityInferer",
    "SemiSupervisedTrainer",
    "autocast",
    "best_precision",
    "deepest_layer",
    "each_scan",
    "end_processes",
    "local_device",
    "mean_teacher",
    "share_layers",
    "start_processes",
]
