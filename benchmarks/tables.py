"""What the studies' tables have in common: lists of names on the command line, and cells over several seeds."""

from __future__ import annotations

import statistics

METRICS = {"dice": "Dice [%]", "jaccard": "Jaccard [%]", "hd95_voxel": "95HD [voxel]", "asd_voxel": "ASD [voxel]"}


def words(text: object) -> list[str]:
    """The entries of a comma-separated argument, which Fire may have split already."""
    return [str(word).strip() for word in (text if isinstance(text, (list, tuple)) else str(text).split(","))]


def mean(result: dict, metric: str) -> float:
    """A metric's mean over scans and classes, from the content of a metrics.json."""
    return result["mean"][metric]["mean"]


def cell(numbers: list[float], metric: str) -> str:
    """Mean and standard deviation over the seeds as a table's cell, in per cent for overlaps."""
    if not numbers:
        return "–"
    factor = 100 if metric in ("dice", "jaccard") else 1
    mean = f"{factor * statistics.mean(numbers):.1f}"
    return f"{mean} ± {factor * statistics.stdev(numbers):.1f}" if len(numbers) > 1 else mean
