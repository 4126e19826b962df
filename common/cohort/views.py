"""The three views of a scan."""

from __future__ import annotations

VIEWS: dict[str, int] = {"axial": 2, "coronal": 1, "sagittal": 0}
"""Array axis along which a view's slices are counted, for a scan in RAS orientation (``Orientationd("RAS")``)."""
