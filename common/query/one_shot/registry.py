"""Strategies of a query before training, by name."""

from __future__ import annotations

from typing import Any

from common.checks import check_one_of
from common.query.one_shot.active_source_free import ActiveSourceFree
from common.query.one_shot.rating import SampleStrategy
from common.query.one_shot.scored import ScoredQuery
from common.query.registry import STRATEGIES, strategy


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
