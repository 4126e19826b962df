"""Strategies that choose which scans to have annotated next."""

from common.query.chance import ForegroundAwareRandom, Random
from common.query.diversity import CoreSet, KMeansPlusPlus, Typicality
from common.query.registry import STRATEGIES, strategy
from common.query.strategy import Strategy
from common.query.stratified import ClassStratifiedPowerEntropy
from common.query.uncertainty import HighestEntropy, HighestEntropyRatio, LeastConfidence

__all__ = [
    "STRATEGIES",
    "ClassStratifiedPowerEntropy",
    "CoreSet",
    "ForegroundAwareRandom",
    "HighestEntropy",
    "HighestEntropyRatio",
    "KMeansPlusPlus",
    "LeastConfidence",
    "Random",
    "Strategy",
    "Typicality",
    "strategy",
]
