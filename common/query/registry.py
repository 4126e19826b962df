"""Strategies by name."""

from __future__ import annotations

from typing import Any

from common.preflight import check_one_of
from common.query.assft import ActiveSourceFree
from common.query.chance import ForegroundAwareRandom, Random
from common.query.diversity import CoreSet, KMeansPlusPlus, Typicality
from common.query.rating import SampleStrategy
from common.query.scored import ScoredQuery
from common.query.strategy import Strategy
from common.query.stratified import ClassStratifiedPowerEntropy
from common.query.uncertainty import HighestEntropy, HighestEntropyRatio, LeastConfidence

STRATEGIES: dict[str, type[Strategy]] = {
    kind.name: kind
    for kind in (
        LeastConfidence,
        HighestEntropy,
        HighestEntropyRatio,
        Random,
        ForegroundAwareRandom,
        CoreSet,
        KMeansPlusPlus,
        Typicality,
        ClassStratifiedPowerEntropy,
    )
}
"""Every strategy by its name: ``lc``, ``he``, ``her``, ``random``, ``foreground_random``, ``coreset``, ``kmeans``,
``typicality``, ``clasp_pe``."""


def strategy(name: str, **arguments: Any) -> Strategy:
    """The strategy of that name, with its arguments.

    Raises:
        ValueError: if there is none of that name.
    """
    check_one_of("query strategy", name, STRATEGIES)
    return STRATEGIES[name](**arguments)


def sample_strategy(name: str, *, seed: int = 0, **assft: Any) -> SampleStrategy:
    """The strategy of that name for a query that spends its budget at once.

    Args:
        name: ``assft``, or one of ``STRATEGIES``.
        seed: of the choice, if it has chance in it.
        **assft: arguments of :class:`ActiveSourceFree`, of which the others take no notice.

    Raises:
        ValueError: if there is none of that name.
    """
    if name == ActiveSourceFree.name:
        return ActiveSourceFree(**assft)
    check_one_of("query", name, [ActiveSourceFree.name, *STRATEGIES])
    return ScoredQuery(strategy(name), seed)
