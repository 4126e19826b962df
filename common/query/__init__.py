"""Which scans to have annotated next, and which pseudo-labels to trust."""

from common.query.assess import PoolAssessment
from common.query.assft import ActiveSourceFree, rank_average
from common.query.chance import ForegroundAwareRandom, Random
from common.query.difficulty import anatomical_difficulty, region_of_interest
from common.query.divergence import (
    adapt_normalisation,
    adaptable,
    cosine_similarity,
    jensen_shannon,
    knowledge_divergence,
    novelty,
    pooled_features,
)
from common.query.diversity import CoreSet, KMeansPlusPlus, Typicality
from common.query.rating import Assessment, Prediction, Rating, SampleStrategy
from common.query.registry import STRATEGIES, sample_strategy, strategy
from common.query.sample import SampleQuery, check_budget, write_ratings
from common.query.scored import ScoredQuery
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
    "Prediction",
    "Random",
    "Rating",
    "SampleQuery",
    "SampleStrategy",
    "ScoredQuery",
    "Strategy",
    "Typicality",
    "adapt_normalisation",
    "adaptable",
    "anatomical_difficulty",
    "check_budget",
    "cosine_similarity",
    "jensen_shannon",
    "knowledge_divergence",
    "nearest_distance",
    "novelty",
    "pooled_features",
    "rank_average",
    "region_confidence",
    "region_of_interest",
    "sample_strategy",
    "select_reliable",
    "strategy",
    "write_ratings",
]
