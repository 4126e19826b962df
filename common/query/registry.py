"""All query strategies, by name."""

from __future__ import annotations

from typing import Any

from common.checks import check_one_of
from common.query.active_source_free import ActiveSourceFree
from common.query.chance import ForegroundAwareRandom, Random
from common.query.diversity import CoreSet, KMeansPlusPlus, Typicality
from common.query.strategy import Strategy
from common.query.stratified import ClassStratifiedPowerEntropy
from common.query.uncertainty import HighestEntropy, HighestEntropyRatio, LeastConfidence

STRATEGIES: dict[str, type[Strategy]] = {
    kind.name: kind
    for kind in (
        ActiveSourceFree,
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
"""Every strategy by its name: ``assft`` (before training alone), ``lc``, ``he``, ``her``, ``random``,
``foreground_random``, ``coreset``, ``kmeans``, ``typicality``, ``clasp_pe``."""


def strategy(name: str, *, rounds: bool = True, **assft: Any) -> Strategy:
    """Makes the strategy of that name.

    Args:
        name: One of ``STRATEGIES``.
        rounds: Whether the strategy will query in rounds during training, which ``assft`` cannot.
        **assft: Arguments of :class:`ActiveSourceFree`, which the other strategies ignore.

    Raises:
        ValueError: If there is no such strategy, or it cannot query in rounds and has to.
    """
    check_one_of("query", name, [it for it, kind in STRATEGIES.items() if not (rounds and kind.needs_adaptation)])
    return ActiveSourceFree(**assft) if name == ActiveSourceFree.name else STRATEGIES[name]()
