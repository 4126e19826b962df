"""The record of a run: what was annotated when, why and at what cost, and which predictions were trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from common.annotations.trust import TrustEntry, parse_trust
from common.files import read_json, write_json

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
    """The record of a run's annotations, from which the labelled set is derived, and of the predictions it trusted.

    It is a JSON file, written at the first addition and rewritten atomically at every further one.

    Args:
        path: The file, or the folder that holds it as ``ledger.json``.

    Attributes:
        entries: One entry per annotated scan, in the order of their annotation.
        trust_entries: One entry per round that selected predictions to trust, in order; empty in most methods.

    Raises:
        ValueError: If the file exists but is not a ledger of this version; it is not overwritten then.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.path = path if path.suffix == ".json" else path / "ledger.json"
        self.entries: list[LedgerEntry] = []
        self.trust_entries: list[TrustEntry] = []
        self.reload()

    def reload(self) -> None:
        """Reads the file again, for example after another process has added to it."""
        entries, trust = _parse(self.path, read_json(self.path)) if self.path.exists() else ([], [])
        _check_once(entries, self.path)
        self.entries, self.trust_entries = entries, trust

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
        """Number of annotated slices; dense labels do not count."""
        return sum(len(entry.slices or {}) for entry in self.entries)

    @property
    def rounds(self) -> int:
        """Number of rounds so far, including the initial one; also the number of the next round."""
        return max((entry.round + 1 for entry in self.entries), default=0)

    def is_labelled(self, scan: str) -> bool:
        """Whether the scan with this id has been annotated."""
        return any(entry.scan == scan for entry in self.entries)

    def add(self, entries: LedgerEntry | Iterable[LedgerEntry]) -> None:
        """Appends entries and saves the file; either all are added or none.

        Raises:
            ValueError: If a scan has been annotated before.
        """
        added = [entries] if isinstance(entries, LedgerEntry) else list(entries)
        if not added:
            return
        together = self.entries + added
        _check_once(together, self.path)
        self._save(together, self.trust_entries)

    def add_trust(self, entry: TrustEntry) -> None:
        """Appends a round's entry and saves; entries of the same or later rounds, of an interrupted run, go."""
        kept = [former for former in self.trust_entries if former.round < entry.round]
        self._save(self.entries, [*kept, entry])

    def _save(self, entries: list[LedgerEntry], trust: list[TrustEntry]) -> None:
        content: dict[str, Any] = {"version": VERSION, "entries": [_plain(entry) for entry in entries]}
        if trust:
            content["selections"] = [entry.plain() for entry in trust]
        write_json(self.path, content)
        self.entries, self.trust_entries = entries, trust


def _plain(entry: LedgerEntry) -> dict[str, Any]:
    """An entry in JSON's types, with NumPy's numbers turned into Python's."""
    content = asdict(entry)
    content["score"] = None if entry.score is None else float(entry.score)
    content["slices"] = None if entry.slices is None else {view: int(index) for view, index in entry.slices.items()}
    return content | {name: int(content[name]) for name in ("round", "iteration", "voxels")}


def _parse(path: Path, content: Any) -> tuple[list[LedgerEntry], list[TrustEntry]]:
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
    return entries, parse_trust(content.get("selections", []), path)


def _check_once(entries: list[LedgerEntry], path: Path) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.scan in seen:
            raise ValueError(f"{path}: expected every scan to be annotated once, found {entry.scan} twice.")
        seen.add(entry.scan)
