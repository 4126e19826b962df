"""What a query that spends its budget at once knows of a scan, and how much it wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from torch import Tensor

from common.query.one_shot.divergence import pooled_features


@dataclass(frozen=True)
class Prediction:
    """What a model makes of one scan.

    Attributes:
        probabilities: ``[C, H, W, D]``, summing to 1 over C.
        features: of its bottleneck, ``[F, h, w, d]``, of the same field of view.
    """

    probabilities: Tensor
    features: Tensor

    @cached_property
    def foreground(self) -> Tensor:
        """Voxels whose likeliest class is not the background, bool ``[H, W, D]``."""
        return self.probabilities.argmax(dim=0) != 0

    @cached_property
    def pooled(self) -> Tensor:
        """``[2F]``; see :func:`common.query.one_shot.pooled_features`."""
        return pooled_features(self.features, self.foreground)


@dataclass(frozen=True)
class Assessment:
    """What a query keeps of a scan.

    Attributes:
        numbers: by name, what the strategy measured.
        features: ``[2F]``, on the CPU; see :func:`common.query.one_shot.pooled_features`.
        foreground: voxels that are predicted as some class, 0 or more.
    """

    numbers: dict[str, float]
    features: Tensor
    foreground: int

    @classmethod
    def of(cls, prediction: Prediction, numbers: Mapping[str, float]) -> Assessment:
        """Of the model's prediction, and what the strategy measured."""
        return cls(dict(numbers), prediction.pooled.cpu(), int(prediction.foreground.sum()))


@dataclass(frozen=True)
class Rating:
    """How much a scan is wanted.

    Attributes:
        scan: its id.
        score: finite, higher for scans that are wanted more.
        numbers: by name, what the score is made of, if it is made of anything.
    """

    scan: str
    score: float
    numbers: dict[str, float] = field(default_factory=dict)


def most_wanted_first(ratings: Iterable[Rating]) -> list[Rating]:
    """By score, and by name among equals."""
    return sorted(ratings, key=lambda rating: (-rating.score, rating.scan))


class SampleStrategy(Protocol):
    """Decides which scans of a pool to have annotated, once. It sees predictions, never labels.

    Attributes:
        name: under which the ledger records the strategy.
        unseen: what is taken for the assessment of every scan by a strategy that need not look at any; else None.
        assessed_with: the settings that an assessment depends on, by name; with others it is made anew.
    """

    name: str
    unseen: Assessment | None

    @property
    def assessed_with(self) -> Mapping[str, Any]: ...

    def assess(self, plain: Prediction, adapt: Callable[[], Prediction]) -> Assessment:
        """What the strategy needs to know of one scan.

        Args:
            plain: the model's prediction.
            adapt: gives that of a copy adapted to the scan; costs several passes, and nothing if it is not called.
        """
        ...

    def rate(self, assessments: Mapping[str, Assessment], known: Sequence[Tensor] = ()) -> list[Rating]:
        """All scans, most wanted first.

        Args:
            assessments: by scan.
            known: features ``[2F]`` of the scans that are labelled or chosen.
        """
        ...

    def choose(
        self, assessments: Mapping[str, Assessment], number: int, *, known: Sequence[Tensor] = ()
    ) -> list[Rating]:
        """The ``number`` scans to ask for, in the order of the picks, each as rated at its pick.

        Args:
            assessments: by scan; their order does not matter.
            number: 0 to the number of scans.
            known: features ``[2F]`` of the labelled scans.

        Raises:
            ValueError: if there are fewer scans than asked for, or a number is not finite.
        """
        ...
