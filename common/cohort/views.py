"""The three views of a scan."""

from __future__ import annotations

VIEWS: dict[str, int] = {"axial": 2, "coronal": 1, "sagittal": 0}
"""Array axis that a view's slices are taken along, for a scan in RAS orientation (``Orientationd("RAS")``)."""
