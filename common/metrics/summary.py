"""Means and standard deviations of the scores of many scans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.metrics.scores import Scores

MEASURES = ("dice", "jaccard", "hd95_voxel", "asd_voxel", "hd95_mm", "asd_mm")
"""The scores that are averaged."""


def summarise(scores: Mapping[str, Mapping[str, Scores]]) -> dict[str, Any]:
    """Averages scores over scans, for each class and for the mean of the classes.

    Args:
        scores: Scores by scan, then by class.

    Returns:
        ``{"scans": n, "classes": {class: summary}, "mean": summary}``. A summary has, for each of ``MEASURES``, a
        ``mean`` and a sample standard deviation ``sd`` over the scans in which the score is defined (``None`` where
        there are too few), and ``missing``, the number of objects of which nothing was predicted. Such objects count as
        0 in Dice and Jaccard, and are left out of the distances.
    """
    classes = dict.fromkeys(name for scan in scores.values() for name in scan)
    by_class = {
        name: _summary({scan: {name: found[name]} for scan, found in scores.items() if name in found})
        for name in classes
    }
    return {"scans": len(scores), "classes": by_class, "mean": _summary(scores)}


def means_by_scan(scores: Mapping[str, Mapping[str, Scores]], measure: str) -> dict[str, float]:
    """Averages one score over the classes of each scan.

    Args:
        scores: Scores by scan, then by class.
        measure: One of ``MEASURES``.

    Returns:
        Mean by scan, over the classes in which the score is defined. Scans without such a class are left out.
    """
    means = {}
    for scan, classes in scores.items():
        numbers = [float(found[measure]) for found in classes.values()]  # type: ignore[literal-required]
        if defined := [number for number in numbers if not np.isnan(number)]:
            means[scan] = float(np.mean(defined))
    return means


def _summary(scores: Mapping[str, Mapping[str, Scores]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for measure in MEASURES:
        means = list(means_by_scan(scores, measure).values())
        summary[measure] = {
            "mean": float(np.mean(means)) if means else None,
            "sd": float(np.std(means, ddof=1)) if len(means) > 1 else None,
        }
    summary["missing"] = sum(found["missing"] for classes in scores.values() for found in classes.values())
    return summary
