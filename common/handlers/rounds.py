"""The iterations after which rounds take place: queries, and renewals of the pseudo-labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol


class RoundTimes(Protocol):
    """Tells when rounds take place."""

    def due(self, iteration: int) -> bool:
        """Whether a round takes place after this iteration."""

    def number(self, iteration: int) -> int:
        """The number of the round after this iteration, counted from 1; round 0 is the random start."""


@dataclass(frozen=True)
class Rounds:
    """Rounds at equal distances until the end: after the iterations ``first``, ``first + every``, … up to ``last``.

    Attributes:
        first: Iteration of the first round.
        every: Iterations from one round to the next.
        last: Last iteration at which a round may take place.

    Raises:
        ValueError: If ``first`` or ``every`` is below 1.
    """

    first: int
    every: int
    last: int

    def __post_init__(self) -> None:
        if self.first < 1 or self.every < 1:
            raise ValueError(f"first and every must be at least 1 iteration, got {self.first} and {self.every}.")

    def due(self, iteration: int) -> bool:
        """Whether a round takes place after this iteration."""
        return self.first <= iteration <= self.last and (iteration - self.first) % self.every == 0

    def number(self, iteration: int) -> int:
        """The round's number, counted from 1; round 0 is the random start."""
        return (iteration - self.first) // self.every + 1


@dataclass(frozen=True, kw_only=True)
class SpreadRounds:
    """A given number of rounds, spread evenly over a span of the training, whatever its length.

    No two rounds share an iteration, and all take place before the last iteration, so that what they bring is learnt
    from. In a short training rounds move to the nearest free iterations.

    Attributes:
        count: Number of rounds, 0 or more.
        span: Shares of the training, 0 to 1, after which the first and the last round take place; a single round takes
            place at the first.
        max_iterations: Length of the training in iterations.
        what: Name of the rounds for messages.

    Raises:
        ValueError: If the span does not lie in 0..1, the count is negative, or the training is too short for it.

    Example:
        >>> SpreadRounds(count=8, span=(0.08, 0.22), max_iterations=10_000).iterations
        (800, 1000, 1200, 1400, 1600, 1800, 2000, 2200)
    """

    count: int
    span: Sequence[float]
    max_iterations: int
    what: str = "rounds"

    def __post_init__(self) -> None:
        if len(self.span) != 2 or not 0 <= self.span[0] <= self.span[1] <= 1:
            raise ValueError(
                f"the span of the {self.what} must be two shares of the training, 0 <= first <= last <= 1, "
                f"got {list(self.span)}."
            )
        if self.count < 0:
            raise ValueError(f"the number of {self.what} must not be negative, got {self.count}.")
        if self.count >= self.max_iterations and self.count:
            raise ValueError(
                f"max_iterations must be at least {self.count + 1} for {self.count} {self.what}, "
                f"got {self.max_iterations}. Train longer, or set fewer {self.what}."
            )

    @cached_property
    def iterations(self) -> tuple[int, ...]:
        """The iterations after which rounds take place, in order."""
        first, last = self.span
        found: list[int] = []
        for index in range(self.count):
            share = first + (last - first) * index / max(self.count - 1, 1)
            free = found[-1] + 1 if found else 1
            left = self.count - 1 - index
            found.append(min(max(round(share * self.max_iterations), free), self.max_iterations - 1 - left))
        return tuple(found)

    def due(self, iteration: int) -> bool:
        """Whether a round takes place after this iteration."""
        return iteration in self.iterations

    def number(self, iteration: int) -> int:
        """The round's number, counted from 1; round 0 is the random start."""
        return self.iterations.index(iteration) + 1
