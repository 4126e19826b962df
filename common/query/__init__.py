"""Which scans to have annotated next, and which pseudo-labels to trust."""

from common.query.assess import PoolAssessment
from common.query.assft import ActiveSourceFree, Assessment, Rating, rank_average
from common.query.chance import ForegroundAwareRandom, Random
from common.query.difficulty import anatomical_difficulty, region_of_interest
from common.query.divergence import (
    adapt_normalisation,
    cosine_similarity,
    diversified_choice,
    jensen_shannon,
    knowledge_divergence,
    novelty,
    pooled_features,
)
from common.query.diversity import CoreSet, KMeansPlusPlus, Typicality
from common.query.registry import STRATEGIES, strategy
from common.query.sample import SampleQuery, write_ratings
from common.query.selection import nearest_distance, region_confidence, select_reliable
from common.query.strategy import Strategy
from common.query.stratified import ClassStratifiedPowerEntropy
from common.query.uncertainty import HighestEntropy, HighestEntropyRatio, LeastConfidence

__all__ = [
    "STRATEGIES",
    "ActiveSourceFree",
    "Assessment",
    "ClassStratifiedPowerEntropy",
    "CoreSet",
    "ForegroundAwareRandom",
    "HighestEntropy",
    "HighestEntropyRatio",
    "KMeansPlusPlus",
    "LeastConfidence",
    "PoolAssessment",
    "Random",
    "Rating",
    "SampleQuery",
    "Strategy",
    "Typicality",
    "adapt_normalisation",
    "anatomical_difficulty",
    "cosine_similarity",
    "diversified_choice",
    "jensen_shannon",
    "knowledge_divergence",
    "nearest_distance",
    "novelty",
    "pooled_features",
    "rank_average",
    "region_confidence",
    "region_of_interest",
    "select_reliable",
    "strategy",
    "write_ratings",
]
