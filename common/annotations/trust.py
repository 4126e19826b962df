"""Which scans a round of training selected to learn from their prediction, and by which numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RatedScan:
    """What a round found of one unlabelled scan's prediction.

    Attributes:
        confidence: see :func:`common.pseudo_labels.region_confidence`.
        distance: to the nearest labelled scan; see :func:`common.pseudo_labels.nearest_distance`.
        selected: whether the scan learns from it.
    """

    confidence: float
    distance: float
    selected: bool


@dataclass(frozen=True)
class SelectionEntry:
    """The selection of one round.

    Attributes:
        round: its number, from 1.
        iteration: of the training at that time.
        scans: the unlabelled ones by id.

    Raises:
        ValueError: if a number is not finite or out of its range, or something is of another type.
    """

    round: int
    iteration: int
    scans: Mapping[str, RatedScan]

    def __post_init__(self) -> None:
        for name, value, least in (("round", self.round, 1), ("iteration", self.iteration, 0)):
            if not isinstance(value, Integral) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}.")
        for scan, rated in self.scans.items():
            if not isinstance(scan, str) or not scan:
                raise ValueError(f"scans must have a scan's id as their keys, got {scan!r}.")
            for name, number in (("confidence", rated.confidence), ("distance", rated.distance)):
                if not isinstance(number, Real) or not math.isfinite(number):
                    raise ValueError(f"{name} of {scan} must be finite, got {number!r}.")
            if not isinstance(rated.selected, bool):
                raise ValueError(f"selected of {scan} must be true or false, got {rated.selected!r}.")

    @property
    def selected(self) -> list[str]:
        """Ids of the selected scans, by name."""
        return sorted(scan for scan, rated in self.scans.items() if rated.selected)

    def plain(self) -> dict[str, Any]:
        """The entry as JSON takes it, NumPy's numbers turned into Python's."""
        scans = {
            scan: {"confidence": float(it.confidence), "distance": float(it.distance), "selected": it.selected}
            for scan, it in self.scans.items()
        }
        return {"round": int(self.round), "iteration": int(self.iteration), "scans": scans}


def parse_selections(content: Any, path: Path) -> list[SelectionEntry]:
    """Entries from a list of their :meth:`SelectionEntry.plain`.

    Args:
        content: as JSON gave it.
        path: of the file that it comes from, for errors.

    Raises:
        ValueError: if it is something else, or the rounds do not increase.
    """
    try:
        if not isinstance(content, list):
            raise TypeError(f"{content!r} is no list")
        selections = [
            SelectionEntry(**one | {"scans": {scan: RatedScan(**rated) for scan, rated in one["scans"].items()}})
            for one in content
        ]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        names, numbers = (", ".join(item.name for item in fields(kind)) for kind in (SelectionEntry, RatedScan))
        raise ValueError(
            f"{path}: expected `selections` with {names}, each of these with {numbers}, "
            f"found something else ({error!r})."
        ) from error
    rounds = [selection.round for selection in selections]
    if rounds != sorted(set(rounds)):
        raise ValueError(f"{path}: expected `selections` of increasing rounds, found {rounds}.")
    return selections
