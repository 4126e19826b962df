"""Strategies that choose which scans to have annotated next."""

from common.query.active_source_free import ActiveSourceFree, rank_average
from common.query.chance import ForegroundAwareRandom, Random
from common.query.difficulty import anatomical_difficulty, region_of_interest
from common.query.divergence import adapt_normalisation, adaptable, jensen_shannon, knowledge_divergence
from common.query.diversity import CoreSet, KMeansPlusPlus, Typicality
from common.query.features import cosine_similarity, novelty, pooled_features
from common.query.prediction import Prediction
from common.query.registry import STRATEGIES, strategy
from common.query.strategy import Candidates, Rating, ScoringStrategy, Strategy
from common.query.stratified import ClassStratifiedPowerEntropy
from common.query.uncertainty import HighestEntropy, HighestEntropyRatio, LeastConfidence, normalised_entropy

__all__ = [
    "STRATEGIES",
    "ActiveSourceFree",
    "Candidates",
    "ClassStratifiedPowerEntropy",
    "CoreSet",
    "ForegroundAwareRandom",
    "HighestEntropy",
    "HighestEntropyRatio",
    "KMeansPlusPlus",
    "LeastConfidence",
    "Prediction",
    "Random",
    "Rating",
    "ScoringStrategy",
    "Strategy",
    "Typicality",
    "adapt_normalisation",
    "adaptable",
    "anatomical_difficulty",
    "cosine_similarity",
    "jensen_shannon",
    "knowledge_divergence",
    "normalised_entropy",
    "novelty",
    "pooled_features",
    "rank_average",
    "region_of_interest",
    "strategy",
]
