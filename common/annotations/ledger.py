"""What has been annotated: when, why, at what cost; and which scans were selected to learn from their prediction."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.annotations.trust import SelectionEntry, parse_selections
from common.files import read_json, write_json

VERSION = 1


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class LedgerEntry:
    """One annotated scan.

    Attributes:
        scan: its id.
        round: of the query that chose it; 0 is the initial choice.
        iteration: of the training at that time.
        strategy: that chose it, e.g. "her" or "random".
        score: the strategy's, if it gave one.
        slices: index of the annotated slice of each view on the scan's RAS grid; None for a dense label.
        voxels: number of annotated voxels.
        annotator: e.g. "oracle" or "folder".
        time: ISO 8601, UTC; now by default.
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

    def __post_init__(self) -> None:
        if not isinstance(self.scan, str) or not self.scan:
            raise ValueError(f"scan must be a scan's id, got {self.scan!r}.")
        if self.score is not None and not math.isfinite(self.score):
            raise ValueError(f"score of {self.scan} must be finite or None, got {self.score}.")


class Ledger:
    """The record of all annotations of a run, from which the labelled set is derived, and of its selections.

    A JSON file, rewritten atomically at every addition; it comes into being with the first one.

    Args:
        path: the file, or the folder in which it is ``ledger.json``.

    Attributes:
        entries: one an annotated scan, in the order of their annotation.
        selections: one a round that chose which predictions to trust, in order; none in most methods.

    Raises:
        ValueError: if the file is there but is not a ledger of this version; it is never overwritten then.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.path = path if path.suffix == ".json" else path / "ledger.json"
        self.entries: list[LedgerEntry] = []
        self.selections: list[SelectionEntry] = []
        self.reload()

    def reload(self) -> None:
        """Reads the file again, as after another process has added to it."""
        entries, selections = _parse(self.path, read_json(self.path)) if self.path.exists() else ([], [])
        _check_once(entries, self.path)
        self.entries, self.selections = entries, selections

    @property
    def labelled(self) -> list[str]:
        """Ids of the annotated scans, in the order of their annotation."""
        return [entry.scan for entry in self.entries]

    @property
    def budget_used(self) -> int:
        """Number of annotated scans."""
        return len(self.entries)

    @property
    def slices_used(self) -> int:
        """Number of annotated slices; those of dense labels are not counted."""
        return sum(len(entry.slices or {}) for entry in self.entries)

    @property
    def rounds(self) -> int:
        """Number of rounds so far, the initial one included: the next round's number."""
        return max((entry.round + 1 for entry in self.entries), default=0)

    def is_labelled(self, scan: str) -> bool:
        """Whether the scan with this id has been annotated."""
        return any(entry.scan == scan for entry in self.entries)

    def add(self, entries: LedgerEntry | Iterable[LedgerEntry]) -> None:
        """Appends and saves: all of them or none.

        Raises:
            ValueError: if a scan has been annotated before.
        """
        added = [entries] if isinstance(entries, LedgerEntry) else list(entries)
        if not added:
            return
        together = self.entries + added
        _check_once(together, self.path)
        self._save(together, self.selections)

    def select(self, selection: SelectionEntry) -> None:
        """Appends a round's selection and saves; those of the same and later rounds, of an interrupted run, go."""
        kept = [former for former in self.selections if former.round < selection.round]
        self._save(self.entries, [*kept, selection])

    def _save(self, entries: list[LedgerEntry], selections: list[SelectionEntry]) -> None:
        content: dict[str, Any] = {"version": VERSION, "entries": [_plain(entry) for entry in entries]}
        if selections:
            content["selections"] = [selection.plain() for selection in selections]
        write_json(self.path, content)
        self.entries, self.selections = entries, selections


def _plain(entry: LedgerEntry) -> dict[str, Any]:
    """An entry as JSON takes it, NumPy's numbers turned into Python's."""
    content = asdict(entry)
    content["score"] = None if entry.score is None else float(entry.score)
    content["slices"] = None if entry.slices is None else {view: int(index) for view, index in entry.slices.items()}
    return content | {name: int(content[name]) for name in ("round", "iteration", "voxels")}


def _parse(path: Path, content: Any) -> tuple[list[LedgerEntry], list[SelectionEntry]]:
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise ValueError(
            f"{path}: expected a ledger of version {VERSION}, found version {version}; "
            "use another output folder, or the version of the software that wrote it."
        )
    try:
        entries = [LedgerEntry(**entry) for entry in content["entries"]]
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        names = ", ".join(item.name for item in fields(LedgerEntry))
        raise ValueError(f"{path}: expected `entries` with {names}, found something else ({error}).") from error
    return entries, parse_selections(content.get("selections", []), path)


def _check_once(entries: list[LedgerEntry], path: Path) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.scan in seen:
            raise ValueError(f"{path}: expected every scan to be annotated once, found {entry.scan} twice.")
        seen.add(entry.scan)
