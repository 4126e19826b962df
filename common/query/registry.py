"""Strategies by name."""

from __future__ import annotations

from typing import Any

from common.checks import check_one_of
from common.query.chance import ForegroundAwareRandom, Random
from common.query.diversity import CoreSet, KMeansPlusPlus, Typicality
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
