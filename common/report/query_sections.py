"""Figures and numbers of the sections on which scans a run asked for, and which of its predictions it learnt from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from common.pseudo_labels import select_reliable
from common.report.query_figures import ROWS, Point, in_ranks, most_trusted, ranked, scatter, trusted_by_round
from common.report.story import QueriedScan, RunRecord

NAMED = 12
"""Largest number of trusted scans that are named in the figure."""

KINDS = ("asked for", "not asked for")
MEASURES = ("divergence", "novelty", "difficulty")
QUANTILES = ("distance_quantile", "confidence_quantile")


def asked_for(run: RunRecord) -> dict[str, Any]:
    """Prepares the section on the query before training: why these scans were asked for and not others.

    Returns:
        The ``chosen`` scans in the order of the picks and the ``others``; a ``figure``, or None if the scores do not
        differ; whether it shows the two ``measures`` of ASSFT's query; how many scans are ``hidden`` in it; and whether
        there are scores at all (``scored``).
    """
    measured = [point for scan in run.query if (point := _by_two_measures(scan)) is not None]
    scored = [_point(scan, scan.score, 0.0) for scan in run.query if math.isfinite(scan.score)]
    figure = None
    if measured:
        figure = scatter(measured, ("divergence × novelty", "difficulty"), KINDS)
    elif len({point.across for point in scored}) > 1:
        figure = ranked(scored, "score", KINDS)
    return {
        "chosen": sorted((scan for scan in run.query if scan.chosen), key=lambda scan: scan.chosen),
        "others": [scan for scan in run.query if not scan.chosen],
        "figure": figure,
        "measures": bool(measured),
        "hidden": len(scored) - len(in_ranks(scored)),
        "scored": bool(scored),
    }


def trusted(run: RunRecord) -> dict[str, Any]:
    """Prepares the section on whose predictions the run learnt from in each round.

    Returns:
        ``last``, a figure of the last round, and ``corner``, whether it shows thresholds; ``by_round``, a figure of all
        rounds; ``ever``, how many scans were trusted in any round, and ``rows``, how many of them are shown. Empty if
        the run made no such choice.
    """
    rounds = run.selection
    if not any(one.scans for one in rounds):
        return {}
    last, corner = rounds[-1], thresholds(run)
    by_round = {one.round: one.selected for one in rounds}
    ever = len(most_trusted(by_round))
    points = [Point(scan, it.distance, it.confidence, it.selected) for scan, it in sorted(last.scans.items())]
    names, kinds = ("distance to the nearest annotated scan", "confidence"), ("trusted", "not trusted")
    named = len(last.selected) <= NAMED
    return {
        "last": scatter(points, names, kinds, corner=corner, named=named) if points else None,
        "corner": corner is not None,
        "by_round": trusted_by_round(by_round) if ever else None,
        "ever": ever,
        "rows": min(ever, ROWS),
    }


def thresholds(run: RunRecord) -> tuple[float, float] | None:
    """Computes the largest distance and the smallest confidence that the last round trusted.

    Both are quantiles of the round's numbers; the run's settings say which ones.

    Returns:
        Distance and confidence; None if the settings do not hold the quantiles, or if what they select is not what was
        selected.
    """
    last = run.selection[-1]
    at_most, at_least = (run.settings.get(name) for name in QUANTILES)
    if at_most is None or at_least is None or not last.scans:
        return None
    confidence = {scan: it.confidence for scan, it in last.scans.items()}
    distance = {scan: it.distance for scan, it in last.scans.items()}
    told = select_reliable(confidence, distance, confidence_quantile=at_least, distance_quantile=at_most)
    if told != last.selected:
        return None
    return float(np.quantile(list(distance.values()), at_most)), float(np.quantile(list(confidence.values()), at_least))


def _by_two_measures(scan: QueriedScan) -> Point | None:
    """The scan's difficulty against its divergence × novelty; None if it lacks one of these numbers."""
    divergence, novelty, difficulty = (scan.numbers.get(name, math.nan) for name in MEASURES)
    across = divergence * novelty
    return _point(scan, across, difficulty) if math.isfinite(across) and math.isfinite(difficulty) else None


def _point(scan: QueriedScan, across: float, up: float) -> Point:
    return Point(scan.scan, across, up, bool(scan.chosen), str(scan.chosen or ""))
