"""The training engine, its step, and inference."""

from common.engines.inferer import ProbabilityInferer
from common.engines.precision import autocast, best_precision
from common.engines.semi_supervised import SemiSupervisedTrainer

__all__ = ["ProbabilityInferer", "SemiSupervisedTrainer", "autocast", "best_precision"]
