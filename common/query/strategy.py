"""What a query strategy is, what it chooses from, and the base of those that give each scan one score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from torch import Tensor

from common.query.prediction import Prediction


@dataclass(frozen=True)
class Candidates:
    """The scans that a strategy chooses from, and what is known of them.

    Attributes:
        measures: For each scan, the numbers that :meth:`Strategy.assess` gave; the order of the scans does not matter.
        number: How many scans to choose, 0 to the number of candidates.
        seed: Seed of the choice, for strategies that leave something to chance.
        features: For each scan, its feature vector ``[F]`` (:func:`common.query.pooled_features`); strategies that do
            not need features do without.
        known: Feature vectors ``[F]`` of the scans that are labelled or chosen already.
    """

    measures: Mapping[str, Mapping[str, float]]
    number: int = 0
    seed: int = 0
    features: Mapping[str, Tensor] = field(default_factory=dict)
    known: Sequence[Tensor] = ()

    def measure(self, name: str) -> dict[str, float]:
        """One of the measured numbers, for each scan."""
        return {scan: numbers[name] for scan, numbers in self.measures.items()}

    def checked(self) -> list[str]:
        """The scans in order of their names.

        Raises:
            ValueError: If more scans are to be chosen than there are, or a measured number is not finite.
        """
        if not 0 <= self.number <= len(self.measures):
            raise ValueError(
                f"number of scans to choose must lie in 0..{len(self.measures)} (the scans scored), got {self.number}."
            )
        bad = [scan for scan, numbers in self.measures.items() if not all(map(math.isfinite, numbers.values()))]
        if bad:
            raise ValueError(f"scores must be finite, but those of {', '.join(sorted(bad))} are not.")
        return sorted(self.measures)

    def after(self, chosen: str) -> Candidates:
        """The candidates that are left once a scan is chosen, which is known from then on."""
        rest = {scan: numbers for scan, numbers in self.measures.items() if scan != chosen}
        return replace(self, measures=rest, number=self.number - 1, known=(*self.known, self.features[chosen]))


@dataclass(frozen=True)
class Rating:
    """How much a strategy wants a scan to be annotated.

    Attributes:
        scan: The scan's id.
        score: A finite number, higher for scans that are wanted more.
        numbers: By name, the numbers that the score is made of, if it is made of any.
    """

    scan: str
    score: float
    numbers: dict[str, float] = field(default_factory=dict)


def most_wanted_first(ratings: Iterable[Rating]) -> list[Rating]:
    """Sorts ratings by score, highest first, and by name among equals."""
    return sorted(ratings, key=lambda rating: (-rating.score, rating.scan))


class Strategy(Protocol):
    """Decides which scans of a pool to have annotated. It sees predictions, never labels.

    Attributes:
        name: Name by which users choose the strategy and the ledger records it.
        needs_predictions: Whether it looks at scans at all; False if chance alone decides.
        needs_features: Whether the choice depends on features.
        needs_adaptation: Whether it compares a prediction with that of a copy of the model adapted to the scan, which
            only a query before training makes.
    """

    name: str
    needs_predictions: bool
    needs_features: bool
    needs_adaptation: bool

    @property
    def assessed_with(self) -> Mapping[str, Any]:
        """The settings that :meth:`assess` depends on, by name; scans assessed with others are assessed again."""
        ...

    def assess(
        self, plain: Prediction, *, adapted: Prediction | None = None, progress: float = 0.0
    ) -> dict[str, float]:
        """Measures what the strategy needs to know of one scan.

        Args:
            plain: The model's prediction.
            adapted: The prediction of the copy adapted to the scan, for strategies that need it.
            progress: Share of the training that is over, 0 to 1.

        Returns:
            Finite numbers by name.
        """
        ...

    def rate(self, candidates: Candidates) -> list[Rating]:
        """Rates all candidates, most wanted first."""
        ...

    def choose(self, candidates: Candidates) -> list[str]:
        """Chooses ``candidates.number`` scans; gives their ids, first wanted first.

        Raises:
            ValueError: If there are fewer scans than asked for, a number is not finite, or features are needed and not
                all there.
        """
        ...


class ScoringStrategy:
    """Base of the strategies that give each scan one score, from its plain prediction alone.

    Unless a subclass says otherwise every scan scores 0, and the scans with the highest scores are chosen, by name
    among equals. See :class:`Strategy`.
    """

    needs_predictions = True
    needs_features = False
    needs_adaptation = False

    @property
    def assessed_with(self) -> Mapping[str, Any]:
        """All settings of the strategy."""
        return vars(self)

    def score(self, probabilities: Tensor, *, progress: float) -> float:
        """How much a scan's annotation is wanted.

        Args:
            probabilities: Predicted probabilities of one scan, ``[C, H, W, D]``, summing to 1 over C.
            progress: Share of the training that is over, 0 to 1.

        Returns:
            A finite number, higher for scans to ask for first.
        """
        return 0.0

    def assess(
        self, plain: Prediction, *, adapted: Prediction | None = None, progress: float = 0.0
    ) -> dict[str, float]:
        """The scan's ``score``."""
        return {"score": self.score(plain.probabilities, progress=progress)}

    def rate(self, candidates: Candidates) -> list[Rating]:
        """All scans, highest score first, by name among equals."""
        return most_wanted_first(Rating(scan, score) for scan, score in candidates.measure("score").items())

    def choose(self, candidates: Candidates) -> list[str]:
        """The scans with the highest scores, by name among equals."""
        candidates.checked()
        return [rating.scan for rating in self.rate(candidates)[: candidates.number]]
