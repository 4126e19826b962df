"""The annotations that the datalist has, as they are: dense labels, slices, scribbles, or some classes only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common import IGNORE_INDEX
from common.annotations.annotation import Annotation, Suggestions
from common.annotations.cross_label import complete_slices
from common.cohort.cohort import CohortError, Scan
from common.cohort.volumes import read_labels_ras


class DatalistAnnotator:
    """Gives the labels of the datalist as they are: voxels of 255 stay without annotation, classes likewise."""

    name = "datalist"

    def requested(self, round: int) -> list[str] | None:
        """None: labels are there already, so no request is ever open."""
        return None

    def annotate(
        self, scans: Sequence[Scan], *, round: int, suggestions: Suggestions | None = None
    ) -> dict[str, Annotation]:
        """Implements :meth:`common.annotations.Annotator.annotate`; the suggestions are ignored.

        Returns:
            Annotation by scan. ``slices`` are, for each view, the completely annotated slice closest to the middle, if
            there is any, and None if every voxel is annotated.

        Raises:
            CohortError: If scans have no label; names them all.
        """
        missing = [f"{scan.image}: expected a label in the datalist, found none." for scan in scans if not scan.label]
        if missing:
            raise CohortError(missing)
        return {scan.id: self._annotation(scan) for scan in scans}

    def _annotation(self, scan: Scan) -> Annotation:
        label, affine = read_labels_ras(str(scan.label))
        label = np.ascontiguousarray(label)
        slices = complete_slices(label, {}) if IGNORE_INDEX in label else None
        return Annotation(label, affine, slices, self.name, scan.annotated_classes)
