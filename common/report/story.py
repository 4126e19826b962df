"""The data that a page is made from: runs, their scores and choices, the cohort and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, cast

import numpy as np

from common.annotations import LedgerEntry, TrustEntry
from common.metrics import Scores, means_by_scan, summarise


@dataclass(frozen=True)
class ScanScore:
    """The evaluation of one class in one scan.

    Attributes:
        scan: Id of the scan.
        label: Name of the class.
        values: Dice and Jaccard (0..1) and distances in voxels and millimetres, under the names of
            :py:data:`common.metrics.MEASURES`; NaN where one is not defined.
        missing: Whether nothing was predicted though there is an object.
    """

    scan: str
    label: str
    values: Mapping[str, float]
    missing: bool = False


@dataclass(frozen=True)
class QueriedScan:
    """What a query before training computed for one scan.

    Attributes:
        scan: Id of the scan.
        score: The higher it is, the more the scan is wanted; for a chosen scan as it was when it was picked; NaN if the
            strategy gives none.
        numbers: Numbers that the score was computed from, by name; empty for most strategies.
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
        name: Name of the run's folder.
        title: Title of the run on the page.
        settings: Settings that the run's checkpoint holds, by name.
        log: Lines of the run's log.
        ledger: Annotated scans, in the order of their annotation.
        scores: Scores of each scan and class; empty if the run was not evaluated.
        chosen_on_scored: Whether the checkpoint was chosen by its scores on the very scans that it was evaluated on.
        query: Scans that a query before training rated, in the order of its table; empty if there was none.
        selection: Rounds that chose which predictions to learn from, in order; empty if the run learns from all.
        split: Name of the split that the run was evaluated on; None if it is not known.
        uncertainty: Uncertainty of the prediction of each scan, see
            :py:class:`common.metrics.PredictionUncertainty`; NaN for a scan of which nothing was predicted. Those of
            the evaluation, or of inference where there are none.
        reliability: How often predictions of each confidence are right, as that handler writes it.
        sessions: The sessions in which the run was made, as :py:class:`common.handlers.SessionRecord` writes them.
    """

    name: str
    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    log: tuple[Mapping[str, Any], ...] = ()
    ledger: tuple[LedgerEntry, ...] = ()
    scores: tuple[ScanScore, ...] = ()
    chosen_on_scored: bool = False
    query: tuple[QueriedScan, ...] = ()
    selection: tuple[TrustEntry, ...] = ()
    split: str | None = None
    uncertainty: Mapping[str, float] = field(default_factory=dict)
    reliability: tuple[Mapping[str, float], ...] = ()
    sessions: tuple[Mapping[str, Any], ...] = ()

    def lines(self, kind: str) -> list[Mapping[str, Any]]:
        """Selects the log's lines of one kind: ``train``, ``validation`` or ``round``."""
        return [line for line in self.log if line["kind"] == kind]

    @property
    def dice(self) -> dict[str, float]:
        """Mean Dice over the classes of each scan, by scan; scans where it is not defined are left out."""
        return means_by_scan(self._by_scan(), "dice")

    @property
    def classes(self) -> list[str]:
        """Names of the classes that were scored, in their order."""
        return list(dict.fromkeys(score.label for score in self.scores))

    def values(self, measure: str, label: str | None = None) -> list[float]:
        """One score of each scan where it is defined.

        Args:
            measure: One of :py:data:`common.metrics.MEASURES`.
            label: Name of a class; by default the mean of all classes.
        """
        scores = self._by_scan()
        if label is not None:
            scores = {scan: {label: found[label]} for scan, found in scores.items() if label in found}
        return list(means_by_scan(scores, measure).values())

    @property
    def summary(self) -> dict[str, Any]:
        """Means and deviations over the scans, as :py:func:`common.metrics.summarise` gives them for all classes."""
        return cast(dict[str, Any], summarise(self._by_scan())["mean"])

    def _by_scan(self) -> dict[str, dict[str, Scores]]:
        scans: dict[str, dict[str, Scores]] = {}
        for score in self.scores:
            scans.setdefault(score.scan, {})[score.label] = cast(Scores, {**score.values, "missing": score.missing})
        return scans


@dataclass(frozen=True, eq=False)
class Picture:
    """A scan with outlines, to be shown in three views.

    Attributes:
        scan: Id of the scan.
        kind: ``cross_label``, ``pseudo_label`` or ``prediction``.
        image: Image ``[H, W, D]`` in RAS orientation.
        reference: Dense label map ``[H, W, D]``, if known.
        outlines: Label maps ``[H, W, D]`` by title; 255 is not drawn.
        slices: Index of the slice shown in each view.
        spacing: Size of a voxel along each axis in mm.
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
    """What a page says about a cohort.

    Attributes:
        name: Name of the study.
        labels: Names of the classes.
        counts: Number of scans in each split.
        shape: Shape of the first training scan in RAS orientation, if it could be read.
        spacing: Size of that scan's voxels along each axis in mm.
    """

    name: str
    labels: tuple[str, ...]
    counts: Mapping[str, int]
    shape: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Story:
    """Everything that a page shows.

    Attributes:
        title: Title of the page.
        runs: Runs on one cohort; the first is shown in full, the others are compared with it.
        cohort: The cohort, if it is known.
        pictures: Pictures in the order in which they are shown.
        notes: Further facts, text by name.
        written: Time of writing (ISO 8601, UTC); now by default.
    """

    title: str
    runs: tuple[RunRecord, ...]
    cohort: CohortSummary | None = None
    pictures: tuple[Picture, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    written: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="minutes"))

    @property
    def main(self) -> RunRecord:
        """The run that is shown in full."""
        return self.runs[0]
