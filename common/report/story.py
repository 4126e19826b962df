"""What a page tells of a run, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from common.annotations import LedgerEntry, TrustEntry


@dataclass(frozen=True)
class ScanScore:
    """The evaluation of one class in one scan.

    Attributes:
        scan: its id.
        label: name of the class.
        values: Dice and Jaccard in 0..1, distances in voxels and millimetres, under the names of
            :py:data:`common.metrics.MEASURES`; NaN where one is not defined.
        missing: whether nothing was predicted.
    """

    scan: str
    label: str
    values: Mapping[str, float]
    missing: bool = False


@dataclass(frozen=True)
class QueriedScan:
    """What a query before training found of one scan.

    Attributes:
        scan: its id.
        score: the higher, the more it is wanted; of a chosen scan as it was at its pick; NaN if there is none.
        numbers: what the score was made of, by name; empty for most strategies.
        chosen: 1 for the first pick, 2 for the second and so on; 0 for scans that were not chosen.
    """

    scan: str
    score: float
    numbers: Mapping[str, float] = field(default_factory=dict)
    chosen: int = 0


@dataclass(frozen=True)
class RunRecord:
    """One training run and its evaluation.

    Attributes:
        name: of its folder.
        title: for people.
        settings: those that its checkpoint names.
        log: the lines of its log.
        ledger: its annotated scans, in order.
        scores: one a scan and class; empty if it was not evaluated.
        query: the scans that a query before training rated, as in its table; empty if there was none.
        selection: its rounds that chose which predictions to trust, in order; empty if it trusts all.
    """

    name: str
    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    log: tuple[Mapping[str, Any], ...] = ()
    ledger: tuple[LedgerEntry, ...] = ()
    scores: tuple[ScanScore, ...] = ()
    query: tuple[QueriedScan, ...] = ()
    selection: tuple[TrustEntry, ...] = ()

    def lines(self, kind: str) -> list[Mapping[str, Any]]:
        """The log's lines of one kind: ``train``, ``validation`` or ``round``."""
        return [line for line in self.log if line["kind"] == kind]

    def by_scan(self, metric: str) -> list[float]:
        """Mean over the classes of each scan, where it is defined."""
        scans: dict[str, list[float]] = {}
        for score in self.scores:
            value = score.values.get(metric, math.nan)
            if not math.isnan(value):
                scans.setdefault(score.scan, []).append(value)
        return [float(np.mean(values)) for values in scans.values()]

    def mean(self, metric: str) -> float:
        """Mean over the scans; NaN if there is none."""
        values = self.by_scan(metric)
        return float(np.mean(values)) if values else math.nan

    def deviation(self, metric: str) -> float:
        """Standard deviation (of a sample) over the scans; NaN if there are fewer than two."""
        values = self.by_scan(metric)
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


@dataclass(frozen=True, eq=False)
class Picture:
    """A scan with outlines, to be shown in three views.

    Attributes:
        scan: its id.
        kind: ``cross_label``, ``pseudo_label`` or ``prediction``.
        image: ``[H, W, D]`` in RAS orientation.
        reference: dense label map ``[H, W, D]``, if known.
        outlines: label maps ``[H, W, D]`` by title; 255 is nothing.
        slices: index of the slice shown in each view.
        spacing: of the voxels, in millimetres.
    """

    scan: str
    kind: str
    image: np.ndarray
    reference: np.ndarray | None
    outlines: Mapping[str, np.ndarray]
    slices: Mapping[str, int]
    spacing: tuple[float, float, float]


@dataclass(frozen=True)
class CohortSummary:
    """What a page says of a cohort.

    Attributes:
        name: of the study.
        labels: names of the classes.
        counts: number of scans of each split.
        shape: of the first training scan in RAS orientation, if it could be read.
        spacing: of the same scan, in millimetres.
    """

    name: str
    labels: tuple[str, ...]
    counts: Mapping[str, int]
    shape: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Story:
    """All that a page tells.

    Attributes:
        title: of the page.
        runs: the first one is told in full, the others are compared with it.
        cohort: if there is one.
        pictures: in the order in which they are shown.
        notes: further facts, name to text.
        written: ISO 8601, UTC.
    """

    title: str
    runs: tuple[RunRecord, ...]
    cohort: CohortSummary | None = None
    pictures: tuple[Picture, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    written: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="minutes"))

    @property
    def main(self) -> RunRecord:
        """The run that is told in full."""
        return self.runs[0]
