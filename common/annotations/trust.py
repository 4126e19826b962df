"""The ledger's record of trust: which unlabelled scans learn from their prediction, and by which numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ScanTrust:
    """How far a round trusted the prediction of one unlabelled scan.

    Attributes:
        confidence: Confidence of the prediction; see :func:`common.pseudo_labels.region_confidence`.
        distance: Distance to the nearest labelled scan; see :func:`common.pseudo_labels.nearest_distance`.
        selected: Whether the scan learns from its prediction.
    """

    confidence: float
    distance: float
    selected: bool


@dataclass(frozen=True)
class TrustEntry:
    """The unlabelled scans that one round judged.

    Attributes:
        round: The round's number, from 1.
        iteration: Iteration of the training at that time.
        scans: What the round found of each unlabelled scan, by its id.

    Raises:
        ValueError: If a number is not finite or out of its range, or something is of another type.
    """

    round: int
    iteration: int
    scans: Mapping[str, ScanTrust]

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
        """Ids of the selected scans, in alphabetical order."""
        return sorted(scan for scan, rated in self.scans.items() if rated.selected)

    def plain(self) -> dict[str, Any]:
        """The entry in JSON's types, with NumPy's numbers turned into Python's."""
        scans = {
            scan: {"confidence": float(it.confidence), "distance": float(it.distance), "selected": it.selected}
            for scan, it in self.scans.items()
        }
        return {"round": int(self.round), "iteration": int(self.iteration), "scans": scans}


def parse_trust(content: Any, path: Path) -> list[TrustEntry]:
    """Reads entries from what :meth:`TrustEntry.plain` wrote.

    Args:
        content: The list of entries, as read from JSON.
        path: File that it comes from, for error messages.

    Raises:
        ValueError: If it is something else, or the rounds do not increase.
    """
    try:
        if not isinstance(content, list):
            raise TypeError(f"{content!r} is no list")
        entries = [
            TrustEntry(**one | {"scans": {scan: ScanTrust(**rated) for scan, rated in one["scans"].items()}})
            for one in content
        ]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        names, numbers = (", ".join(item.name for item in fields(kind)) for kind in (TrustEntry, ScanTrust))
        raise ValueError(
            f"{path}: expected `selections` with {names}, each of these with {numbers}, "
            f"found something else ({error!r})."
        ) from error
    rounds = [entry.round for entry in entries]
    if rounds != sorted(set(rounds)):
        raise ValueError(f"{path}: expected `selections` of increasing rounds, found {rounds}.")
    return entries
