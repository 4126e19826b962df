"""Which scans to have annotated next."""

from common.query.chance import ForegroundAwareRandom, Random
from common.query.registry import STRATEGIES, strategy
from common.query.strategy import Strategy
from common.query.uncertainty import HighestEntropy, HighestEntropyRatio, LeastConfidence

__all__ = [
    "STRATEGIES",
    "ForegroundAwareRandom",
    "HighestEntropy",
    "HighestEntropyRatio",
    "LeastConfidence",
    "Random",
    "Strategy",
    "strategy",
]
