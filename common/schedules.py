"""Schedules of numbers that change with the iteration: loss weights, thresholds, the learning rate's factor.

A schedule is a function of the number of completed iterations, constant after its ``length``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Schedule: TypeAlias = Callable[[int], float]


def value(weight: float | Schedule, iteration: int) -> float:
    """The value of ``weight``, a number or a schedule, at an iteration.

    Example:
        >>> value(0.3, 10), value(GaussianRampUp(0.1, 20), 20)
        (0.3, 0.1)
    """
    return float(weight(iteration) if callable(weight) else weight)


@dataclass(frozen=True)
class GaussianRampUp:
    """Rises as ``start + (maximum - start)·exp(-5(1 - t/T)²)``.

    With ``start=0``, it is FM-ABS's ``λ_c``; from 0.5 to 0.75, the threshold of its highest entropy ratio.

    Attributes:
        maximum: Value from iteration ``length`` on.
        length: Length ``T`` of the ramp, in iterations.
        start: Value that the ramp rises from; at ``t = 0`` the schedule is already ``exp(-5)`` = 0.7 % of the way up.
    """

    maximum: float
    length: int
    start: float = 0.0

    def __post_init__(self) -> None:
        _require_positive("length", self.length)

    def __call__(self, iteration: float) -> float:
        return self.start + (self.maximum - self.start) * _gaussian(iteration, self.length)


@dataclass(frozen=True)
class GaussianRampDown:
    """Falls as ``maximum·[1 - exp(-5(1 - t/T)²)]``, FM-ABS's ``λ_sam``: nearly ``maximum`` at first, 0 from ``T`` on.

    Attributes:
        maximum: Value that the ramp falls from.
        length: Length ``T`` of the ramp, in iterations.
    """

    maximum: float
    length: int

    def __post_init__(self) -> None:
        _require_positive("length", self.length)

    def __call__(self, iteration: int) -> float:
        return self.maximum * (1 - _gaussian(iteration, self.length))


@dataclass(frozen=True)
class SigmoidRampUp:
    """Rises as ``maximum·exp(-5(1 - t/T)²)`` in steps, the sigmoid-shaped ramp of the mean-teacher literature.

    The ramp has its own length, mostly shorter than the training, and changes only every ``every`` iterations: the
    customary code's ramp length of 40 in units of 150 iterations is ``length=6000, every=150``.

    Attributes:
        maximum: Value from iteration ``length`` on.
        length: Length ``T`` of the ramp, in iterations.
        every: Iterations between two changes of the value.
    """

    maximum: float
    length: int
    every: int = 1

    def __post_init__(self) -> None:
        _require_positive("length", self.length)
        _require_positive("every", self.every)

    def __call__(self, iteration: int) -> float:
        return self.maximum * _gaussian(iteration // self.every * self.every, self.length)


@dataclass(frozen=True)
class PolynomialDecay:
    """Falls as ``(1 - t/T)^power``; a factor of the learning rate for ``torch.optim.lr_scheduler.LambdaLR``.

    Attributes:
        length: Length ``T`` of the decay, in iterations; the factor is 0 from then on.
        power: Exponent of the decay, 0.9 in the literature.
        warm_up: Number ``W`` of first iterations in which the factor is multiplied by ``(t + 1)/W``; 0 for none.
    """

    length: int
    power: float = 0.9
    warm_up: int = 0

    def __post_init__(self) -> None:
        _require_positive("length", self.length)
        if self.warm_up < 0:
            raise ValueError(f"warm_up must be 0 or more iterations, got {self.warm_up}.")

    def __call__(self, iteration: int) -> float:
        share = min((iteration + 1) / self.warm_up, 1.0) if self.warm_up else 1.0
        return float(share * (1 - _progress(iteration, self.length)) ** self.power)


def _gaussian(iteration: float, length: int) -> float:
    return math.exp(-5 * (1 - _progress(iteration, length)) ** 2)


def _progress(iteration: float, length: int) -> float:
    return min(max(iteration / length, 0.0), 1.0)


def _require_positive(name: str, number: int) -> None:
    if number < 1:
        raise ValueError(f"{name} must be at least 1 iteration, got {number}.")
