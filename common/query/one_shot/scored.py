"""The strategies of an active training, for a query that spends its budget at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from common.query.chance import Random
from common.query.one_shot.rating import Assessment, Prediction, Rating, most_wanted_first
from common.query.strategy import Strategy


class ScoredQuery:
    """A :class:`common.query.one_shot.SampleStrategy` that scores and chooses as a :class:`common.query.Strategy` does.

    One plain inference a scan, none where chance alone decides; nothing is adapted. The training's progress counts as
    0.

    Args:
        strategy: scores scans and chooses some.
        seed: of the choice, if it has chance in it.
    """

    def __init__(self, strategy: Strategy, seed: int = 0) -> None:
        self.name = strategy.name
        self.unseen = Assessment({"score": 0.0}, torch.zeros(0), foreground=0) if type(strategy) is Random else None
        self.strategy = strategy
        self.seed = seed

    @property
    def assessed_with(self) -> dict[str, Any]:
        """See :class:`common.query.one_shot.SampleStrategy`."""
        return vars(self.strategy)

    def assess(self, plain: Prediction, adapt: Callable[[], Prediction]) -> Assessment:
        """The strategy's ``score`` of one scan; see :class:`common.query.one_shot.SampleStrategy`."""
        return Assessment.of(plain, {"score": self.strategy.score(plain.probabilities, progress=0.0)})

    def rate(self, assessments: Mapping[str, Assessment], known: Sequence[Tensor] = ()) -> list[Rating]:
        """All scans, highest score first, by name among equals; what is known does not count."""
        return most_wanted_first(Rating(scan, score) for scan, score in _scores(assessments).items())

    def choose(
        self, assessments: Mapping[str, Assessment], number: int, *, known: Sequence[Tensor] = ()
    ) -> list[Rating]:
        """The ``number`` scans that the strategy chooses, first wanted first; see :class:`common.query.Strategy`."""
        scores = _scores(assessments)
        features = {scan: found.features for scan, found in assessments.items()}
        chosen = self.strategy.choose(scores, number, seed=self.seed, features=features, known=known)
        return [Rating(scan, scores[scan]) for scan in chosen]


def _scores(assessments: Mapping[str, Assessment]) -> dict[str, float]:
    return {scan: found.numbers["score"] for scan, found in assessments.items()}
