"""Queries that spend their budget at once, before training: ASSFT's own, and every other strategy."""

from common.query.one_shot.active_source_free import ActiveSourceFree, rank_average
from common.query.one_shot.assess import PoolAssessment
from common.query.one_shot.difficulty import anatomical_difficulty, region_of_interest
from common.query.one_shot.divergence import (
    adapt_normalisation,
    adaptable,
    cosine_similarity,
    jensen_shannon,
    knowledge_divergence,
    novelty,
    pooled_features,
)
from common.query.one_shot.query import SampleQuery, check_budget, write_ratings
from common.query.one_shot.rating import Assessment, Prediction, Rating, SampleStrategy
from common.query.one_shot.registry import sample_strategy
from common.query.one_shot.scored import ScoredQuery

__all__ = [
    "ActiveSourceFree",
    "Assessment",
    "PoolAssessment",
    "Prediction",
    "Rating",
    "SampleQuery",
    "SampleStrategy",
    "ScoredQuery",
    "adapt_normalisation",
    "adaptable",
    "anatomical_difficulty",
    "check_budget",
    "cosine_similarity",
    "jensen_shannon",
    "knowledge_divergence",
    "novelty",
    "pooled_features",
    "rank_average",
    "region_of_interest",
    "sample_strategy",
    "write_ratings",
]
