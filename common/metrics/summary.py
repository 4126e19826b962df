"""Scores of many scans in a few numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from common.metrics.scores import Scores

MEASURES = ("dice", "jaccard", "hd95_voxel", "asd_voxel", "hd95_mm", "asd_mm")
"""The scores that have a mean."""


def summarise(scores: Mapping[str, Mapping[str, Scores]]) -> dict[str, Any]:
    """Mean and standard deviation over scans, for every class and for the mean of the classes.

    Args:
        scores: by scan, then by class.

    Returns:
        ``{"scans": n, "classes": {class: summary}, "mean": summary}``; a summary has for each of ``MEASURES`` a
        ``mean`` and a sample standard deviation ``sd`` over the scans in which it is defined (``None`` where there are
        too few), and ``missing``, the number of objects that the prediction has missed altogether. Missed objects count
        as 0 in Dice and Jaccard, and not at all in the distances.
    """
    classes = list(dict.fromkeys(name for scan in scores.values() for name in scan))
    by_class = {name: _summary([scan[name]] for scan in scores.values() if name in scan) for name in classes}
    mean = _summary(list(scan.values()) for scan in scores.values())
    return {"scans": len(scores), "classes": by_class, "mean": mean}


def _summary(scans: Iterable[list[Scores]]) -> dict[str, Any]:
    scans = list(scans)
    summary: dict[str, Any] = {}
    for measure in MEASURES:
        means = [_defined_mean([float(scores[measure]) for scores in scan]) for scan in scans]  # type: ignore[literal-required]
        defined = [mean for mean in means if mean is not None]
        sd = float(np.std(defined, ddof=1)) if len(defined) > 1 else None
        summary[measure] = {"mean": _defined_mean(defined), "sd": sd}
    summary["missing"] = sum(scores["missing"] for scan in scans for scores in scan)
    return summary


def _defined_mean(numbers: list[float]) -> float | None:
    defined = [number for number in numbers if not np.isnan(number)]
    return float(np.mean(defined)) if defined else None
