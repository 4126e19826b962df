"""The simulated annotator, which answers from dense labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.annotations.annotation import Annotation, Suggestions
from common.annotations.cross_label import cross_label, middle_slices
from common.cohort.cohort import CohortError, Scan
from common.cohort.volumes import read_labels_ras


class OracleAnnotator:
    """Simulates an expert by cutting annotations out of dense labels.

    Args:
        dense: Whether to give the whole label (the upper bound of what annotation can achieve) instead of the
            cross-label through the middle of the foreground's bounding box.
    """

    name = "oracle"

    def __init__(self, dense: bool = False) -> None:
        self.dense = dense

    def requested(self, round: int) -> list[str] | None:
        """None: an oracle answers at once, so no request is ever open."""
        return None

    def annotate(
        self, scans: Sequence[Scan], *, round: int, suggestions: Suggestions | None = None
    ) -> dict[str, Annotation]:
        """Implements :meth:`common.annotations.Annotator.annotate`; the suggestions are ignored.

        Raises:
            CohortError: If scans have no dense label or an empty one; names all scans without a label.
        """
        missing = [
            f"{scan.image}: expected a label to simulate an annotator with, found none in the datalist; "
            "add one, or let people annotate (FolderAnnotator)."
            for scan in scans
            if scan.label is None
        ]
        if missing:
            raise CohortError(missing)
        return {scan.id: self._annotate(scan.label) for scan in scans if scan.label}

    def _annotate(self, path: Path) -> Annotation:
        label, affine = read_labels_ras(path)
        label = np.ascontiguousarray(label)
        if not label.any():
            raise CohortError([f"{path}: expected a label with foreground, found an empty one."])
        if self.dense:
            return Annotation(label, affine, None, self.name)
        slices = middle_slices(label)
        return Annotation(cross_label(label, slices), affine, slices, self.name)
