"""Queries before training, which spend their budget at once, by any strategy."""

from common.query.one_shot.assess import Assessment, PoolAssessment
from common.query.one_shot.query import SampleQuery, check_budget, rate_choice, write_ratings

__all__ = ["Assessment", "PoolAssessment", "SampleQuery", "check_budget", "rate_choice", "write_ratings"]
