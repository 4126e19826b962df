"""The simulated annotator, which answers from dense labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.annotations.annotation import Annotation, Suggestions
from common.annotations.cross_label import cross_label, middle_slices
from common.cohort.check import SIMULATED
from common.cohort.cohort import CohortError, Scan
from common.cohort.labels import left_out
from common.cohort.volumes import VIEWS, read_labels_ras


class OracleAnnotator:
    """Simulates an expert by cutting annotations out of dense labels.

    Args:
        dense: Whether to give the whole label (the upper bound of what annotation can achieve) instead of the
            cross-label through the middle of the foreground's bounding box.
        views: Views of the cross-label, one slice each; the paper's has all three.

    Raises:
        ValueError: If there is no view, or an unknown one.
    """

    name = "oracle"

    def __init__(self, dense: bool = False, views: Sequence[str] = tuple(VIEWS)) -> None:
        if not views or not set(views) <= VIEWS.keys():
            raise ValueError(f"views must be some of {', '.join(VIEWS)}, got {list(views)}.")
        self.dense = dense
        self.views = tuple(views)

    def requested(self, round: int) -> list[str] | None:
        """None: an oracle answers at once, so no request is ever open."""
        return None

    def annotate(
        self, scans: Sequence[Scan], *, round: int, suggestions: Suggestions | None = None
    ) -> dict[str, Annotation]:
        """Implements :meth:`common.annotations.Annotator.annotate`; the suggestions are ignored.

        Raises:
            CohortError: If a scan's label is missing, empty, not dense, or of some classes only; names all these scans.
        """
        found = {scan.id: self._annotate(scan) for scan in scans}
        if problems := [answer for answer in found.values() if isinstance(answer, str)]:
            raise CohortError(problems)
        return {scan: answer for scan, answer in found.items() if isinstance(answer, Annotation)}

    def _annotate(self, scan: Scan) -> Annotation | str:
        """The annotation, or why there can be none."""
        if scan.label is None:
            return (
                f"{scan.image}: expected a label to simulate an annotator with, found none in the datalist; "
                "add one, or let people annotate (FolderAnnotator)."
            )
        label, affine = read_labels_ras(scan.label)
        label = np.ascontiguousarray(label)
        if lacking := left_out(label, scan, {}):
            return (
                f"{scan.label}: expected a dense label of all classes to simulate an annotator with, found {lacking}; "
                f"{SIMULATED}."
            )
        if not label.any():
            return f"{scan.label}: expected a label with foreground, found an empty one."
        if self.dense:
            return Annotation(label, affine, None, self.name)
        slices = {view: index for view, index in middle_slices(label).items() if view in self.views}
        return Annotation(cross_label(label, slices), affine, slices, self.name)
