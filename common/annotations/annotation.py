"""What an annotator is, and what it gives back for a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from common import IGNORE_INDEX
from common.cohort.cohort import Scan

Suggestions = Mapping[str, Mapping[str, int]]
"""For each scan's id, the slice to annotate in each view, as an index of the scan's RAS grid."""


@dataclass(frozen=True, eq=False)
class Annotation:
    """The annotation of one scan.

    Attributes:
        array: Label map, uint8 ``[H, W, D]`` on the scan's RAS grid; 0 background, 1..K classes, 255 not annotated.
        affine: Affine of that grid, 4x4, to millimetres.
        slices: Index of the annotated slice of each view; None for a dense label.
        annotator: Name of the annotator that made it.
        classes: Classes that were annotated, in ascending order: what is 0 in the array may belong to any other class.
            None if all were.
    """

    array: np.ndarray
    affine: np.ndarray
    slices: dict[str, int] | None
    annotator: str
    classes: tuple[int, ...] | None = None

    @property
    def voxels(self) -> int:
        """Number of annotated voxels."""
        return int(np.count_nonzero(self.array != IGNORE_INDEX))


class Annotator(Protocol):
    """Annotates scans on request.

    Attributes:
        name: Name that the ledger records.
    """

    name: str

    def requested(self, round: int) -> list[str] | None:
        """Ids of the scans that a round has requested and still waits for; None if there is no such request."""
        ...

    def annotate(
        self, scans: Sequence[Scan], *, round: int, suggestions: Suggestions | None = None
    ) -> dict[str, Annotation]:
        """Annotates scans and returns the annotation of each by the scan's id.

        Args:
            scans: Scans to annotate.
            round: Number of the round that chose them.
            suggestions: Slices worth annotating.
        """
        ...
