"""What was decided, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Decision:
    """One decision of a plan.

    Attributes:
        name: What is decided, in a word or two.
        value: What was chosen, in words.
        reason: Why, as a sentence.
        settings: The settings of the bundle that it makes, by id; none if the bundle finds the same by itself, or
            another command has to carry it out.
    """

    name: str
    value: str
    reason: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def by(values: Sequence[float]) -> str:
    """Three numbers as in ``96 x 96 x 48``; a config is read in whatever encoding a computer has."""
    return " x ".join(f"{value:.4g}" for value in values)


def size_text(size: float) -> str:
    """A number of bytes in GB or MB, with the digits that matter."""
    return f"{size / 1e9:.3g} GB" if size >= 1e8 else f"{size / 1e6:.3g} MB"
