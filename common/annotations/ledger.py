"""The record of a run: what was annotated when, why and at what cost, and which predictions were trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from common.annotations.trust import TrustEntry, parse_trust
from common.files import read_json, write_text

VERSION = 1


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class LedgerEntry:
    """One annotated scan.

    Attributes:
        scan: The scan's id.
        round: Number of the round that chose it; 0 is the initial choice.
        iteration: Iteration of the training at that time.
        strategy: Name of the strategy that chose it, e.g. "her" or "random".
        score: The strategy's score, if it gave one.
        slices: Index of the annotated slice of each view on the scan's RAS grid; None for a dense label.
        voxels: Number of annotated voxels.
        annotator: Name of the annotator, e.g. "oracle" or "folder".
        time: When the entry was made, ISO 8601 in UTC; now by default.
        classes: Classes that were annotated, in ascending order; None, which the file leaves out, if all were.
    """

    scan: str
    round: int
    iteration: int
    strategy: str
    score: float | None
    slices: dict[str, int] | None
    voxels: int
    annotator: str
    time: str = field(default_factory=_now)
    classes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.scan, str) or not self.scan:
            raise ValueError(f"scan must be a scan's id, got {self.scan!r}.")
        if self.score is not None and not math.isfinite(self.score):
            raise ValueError(f"score of {self.scan} must be finite or None, got {self.score}.")
        if self.classes is not None:
            if not self.classes or not all(type(number) is int and number > 0 for number in self.classes):
                raise ValueError(f"classes of {self.scan} must be numbers from 1 on or None, got {self.classes!r}.")
            object.__setattr__(self, "classes", tuple(self.classes))

    def plain(self) -> dict[str, Any]:
        """The entry in JSON's types, with NumPy's numbers turned into Python's."""
        content = vars(self) | {
            "score": None if self.score is None else float(self.score),
            "slices": None if self.slices is None else {view: int(index) for view, index in self.slices.items()},
        }
        content |= {name: int(content[name]) for name in ("round", "iteration", "voxels")}
        classes = content.pop("classes")
        return content if classes is None else content | {"classes": list(classes)}


class Ledger:
    """The record of a run's annotations, from which the labelled set is derived, and of the predictions it trusted.

    It is a JSON file with one line per annotated scan, written at the first addition and rewritten atomically at every
    further one.

    Args:
        path: The file, or the folder that holds it as ``ledger.json``.

    Attributes:
        entries: One entry per annotated scan, in the order of their annotation.
        history: The entries that others have replaced, in the order in which that happened.
        trust_entries: One entry per round that selected predictions to trust, in order; empty in most methods.

    Raises:
        ValueError: If the file exists but is not a ledger of this version; it is not overwritten then.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.path = path if path.suffix == ".json" else path / "ledger.json"
        self.reload()

    def reload(self) -> None:
        """Reads the file again, for example after another process has added to it."""
        entries, history, trust = _parse(self.path, read_json(self.path)) if self.path.exists() else ([], [], [])
        _check_once(entries, known=set(), path=self.path)
        self._keep(entries, history, trust, [_line(entry) for entry in entries])

    def _keep(
        self, entries: list[LedgerEntry], history: list[LedgerEntry], trust: list[TrustEntry], lines: list[str]
    ) -> None:
        self.entries = entries
        self.history = history
        self.trust_entries = trust
        self._lines = lines
        self._labelled = {entry.scan for entry in entries}

    @property
    def labelled(self) -> list[str]:
        """Ids of the annotated scans, in the order of their annotation."""
        return [entry.scan for entry in self.entries]

    @property
    def partial_classes(self) -> dict[str, tuple[int, ...]]:
        """The annotated classes of each scan of which some classes only were annotated, by its id."""
        return {entry.scan: entry.classes for entry in self.entries if entry.classes is not None}

    @property
    def budget_used(self) -> int:
        """Number of annotated scans."""
        return len(self.entries)

    @property
    def slices_used(self) -> int:
        """Number of annotated slices; dense labels do not count."""
        return sum(len(entry.slices or {}) for entry in self.entries)

    @property
    def rounds(self) -> int:
        """Number of rounds so far, including the initial one; also the number of the next round."""
        return max((entry.round + 1 for entry in self.entries), default=0)

    def is_labelled(self, scan: str) -> bool:
        """Whether the scan with this id has been annotated."""
        return scan in self._labelled

    def entry(self, scan: str) -> LedgerEntry:
        """The entry of the scan with this id.

        Raises:
            KeyError: If it has not been annotated.
        """
        return self.entries[self._position(scan)]

    def add(self, entries: LedgerEntry | Iterable[LedgerEntry]) -> None:
        """Appends entries and saves the file; either all are added or none.

        Raises:
            ValueError: If a scan has been annotated before.
        """
        added = [entries] if isinstance(entries, LedgerEntry) else list(entries)
        if not added:
            return
        _check_once(added, known=self._labelled, path=self.path)
        lines = self._lines + [_line(entry) for entry in added]
        self._save(self.entries + added, self.history, self.trust_entries, lines)

    def replace(self, entry: LedgerEntry) -> None:
        """Puts an entry in place of the scan's former one, which moves to the history, and saves the file.

        Raises:
            KeyError: If the scan has not been annotated.
        """
        position = self._position(entry.scan)
        entries, lines = list(self.entries), list(self._lines)
        history = [*self.history, entries[position]]
        entries[position], lines[position] = entry, _line(entry)
        self._save(entries, history, self.trust_entries, lines)

    def add_trust(self, entry: TrustEntry) -> None:
        """Appends a round's entry and saves; entries of the same or later rounds, of an interrupted run, go."""
        kept = [former for former in self.trust_entries if former.round < entry.round]
        self._save(self.entries, self.history, [*kept, entry], self._lines)

    def _position(self, scan: str) -> int:
        for position, entry in enumerate(self.entries):
            if entry.scan == scan:
                return position
        raise KeyError(f"{self.path}: expected an annotation of {scan}, found none.")

    def _save(
        self, entries: list[LedgerEntry], history: list[LedgerEntry], trust: list[TrustEntry], lines: list[str]
    ) -> None:
        lists = {"entries": lines}
        if history:
            lists["history"] = [_line(entry) for entry in history]
        if trust:
            lists["selections"] = [json.dumps(entry.plain(), allow_nan=False) for entry in trust]
        texts = [f'"version": {VERSION}', *(f'"{name}": {_list(items)}' for name, items in lists.items())]
        write_text(self.path, "{\n  " + ",\n  ".join(texts) + "\n}\n")
        self._keep(entries, history, trust, lines)


def _list(lines: list[str]) -> str:
    """A JSON list with one item per line, indented for the second level."""
    return "[\n    " + ",\n    ".join(lines) + "\n  ]" if lines else "[]"


def _line(entry: LedgerEntry) -> str:
    return json.dumps(entry.plain(), allow_nan=False)


def _parse(path: Path, content: Any) -> tuple[list[LedgerEntry], list[LedgerEntry], list[TrustEntry]]:
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise ValueError(
            f"{path}: expected a ledger of version {VERSION}, found version {version}; "
            "use another output folder, or the version of the software that wrote it."
        )
    return (
        _parse_entries(path, content, "entries"),
        _parse_entries(path, {"history": []} | content, "history"),
        parse_trust(content.get("selections", []), path),
    )


def _parse_entries(path: Path, content: dict[str, Any], name: str) -> list[LedgerEntry]:
    try:
        return [LedgerEntry(**entry) for entry in content[name]]
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        names = ", ".join(item.name for item in fields(LedgerEntry))
        raise ValueError(f"{path}: expected `{name}` with {names}, found something else ({error}).") from error


def _check_once(entries: list[LedgerEntry], *, known: set[str], path: Path) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.scan in seen or entry.scan in known:
            raise ValueError(f"{path}: expected every scan to be annotated once, found {entry.scan} twice.")
        seen.add(entry.scan)
