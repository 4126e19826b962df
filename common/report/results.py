"""Reads what evaluation, inference and the record of sessions have left in a run's folder."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from common.files import read_json
from common.handlers import read_sessions
from common.handlers.session import FILE as PROVENANCE
from common.metrics import MEASURES
from common.report.story import ScanScore

SESSIONS = (".", "source", "evaluation", "predictions")
"""Folders within a run's that may hold a record of sessions: of the training, its pre-training, and what came after."""

COUNTS = ("voxels", "confidence", "accuracy")


def read_scores(path: str | Path) -> list[ScanScore]:
    """Reads ``metrics.csv`` as :py:class:`common.metrics.ScanMetrics` writes it; empty if there is no such file.

    Raises:
        ValueError: If a column is missing or a cell is not a number.
    """
    path = Path(path)
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [
            ScanScore(
                scan=row["scan"],
                label=row["class"],
                values={metric: float(row[metric] or "nan") for metric in MEASURES},
                missing=row["missing"].strip().lower() in ("1", "true"),
            )
            for row in rows
        ]
    except (AttributeError, KeyError, TypeError, ValueError, csv.Error) as error:
        columns = ", ".join(("scan", "class", *MEASURES, "missing"))
        raise ValueError(f"{path}: expected the columns {columns}, found something else ({error}).") from error


def read_facts(path: str | Path) -> dict[str, Any]:
    """Reads ``metrics.json``, the facts and means of an evaluation; empty if there is no such file.

    Raises:
        ValueError: If it is damaged.
    """
    path = Path(path)
    content = read_json(path) if path.is_file() else {}
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected the means of an evaluation by name, found {type(content).__name__}.")
    return content


def read_uncertainty(path: str | Path) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Reads ``uncertainty.json`` as :py:class:`common.metrics.PredictionUncertainty` writes it.

    Returns:
        The uncertainty of each scan, NaN where nothing was predicted, and the ranges of confidence; both empty if there
        is no such file.

    Raises:
        ValueError: If it is damaged.
    """
    path = Path(path)
    if not path.is_file():
        return {}, []
    content = read_json(path)
    try:
        scans = {str(scan): math.nan if it is None else float(it) for scan, it in content["scans"].items()}
        return scans, [{name: float(one[name]) for name in COUNTS} for one in content["reliability"]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: expected the uncertainty of scans and the reliability of confidences, found something else "
            f"({error!r})."
        ) from error


def read_all_sessions(folder: str | Path) -> list[dict[str, Any]]:
    """Reads the sessions of a run's training, pre-training, evaluation and inference, in the order of their start.

    Raises:
        ValueError: If one of the files is damaged.
    """
    found = [one for place in SESSIONS for one in read_sessions(Path(folder) / place / PROVENANCE)]
    return sorted(found, key=lambda one: str(one.get("started", "")))
