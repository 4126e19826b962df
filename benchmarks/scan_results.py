"""Numbers measured scan by scan, kept in a file from which an interrupted benchmark resumes, and their table."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

Row = tuple[str, ...]
"""What a number belongs to: what the prompts were made from, the generalist, and the label or view."""


@dataclass(frozen=True)
class ScanResult:
    """What was measured on one scan.

    Args:
        settings: Everything that decides the numbers, apart from the scan.
        scan: Name of the scan.
        date: Day of the measurement, as in 2026-01-31.
        rows: The numbers, each behind what it belongs to: `[prompts, generalist, label, number]`.
    """

    settings: dict[str, Any]
    scan: str
    date: str
    rows: list[list[Any]]


def read_results(path: str | Path) -> list[ScanResult]:
    """Reads the results of a file, none if there is no such file.

    Raises:
        ValueError: If a line is not one that `append_result` has written.
    """
    path = Path(path)
    results = []
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], start=1):
        try:
            results.append(ScanResult(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{path}: expected a scan's results in line {number}, found {line[:40]!r} ({error}). Delete that line."
            ) from error
    return results


def append_result(path: str | Path, result: ScanResult) -> None:
    """Adds a scan's results to a file, as one line of JSON that is written in one go."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        file.write(json.dumps(asdict(result), allow_nan=False) + "\n")


def markdown_table(results: Iterable[ScanResult]) -> str:
    """Mean, standard deviation (of the population) and minimum over scans of every number, in their first order."""
    numbers: dict[Row, list[float]] = {}
    for result in results:
        for *key, number in result.rows:
            numbers.setdefault(tuple(key), []).append(number)
    lines = ["| prompts from | generalist | label | mean | sd | min |", "|---|---|---|---|---|---|"]
    for key, values in numbers.items():
        figures = (f"{figure:.3f}" for figure in (np.mean(values), np.std(values), np.min(values)))
        lines.append(f"| {' | '.join((*key, *figures))} |")
    return "\n".join(lines) + "\n"
