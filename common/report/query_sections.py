"""The sections of a page that tell which scans a run asked for, and which of its own predictions it trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from common.annotations import TrustEntry
from common.pseudo_labels import select_reliable
from common.report.elements import Cell, count, figure, folded, table
from common.report.query_figures import ROWS, Point, in_ranks, most_trusted, ranked, scatter, trusted_by_round
from common.report.story import QueriedScan, RunRecord

NAMED = 12
"""Up to how many trusted scans are named in the figure."""

KINDS = ("asked for", "not asked for")
MEASURES = ("divergence", "novelty", "difficulty")
QUANTILES = ("distance_quantile", "confidence_quantile")


def asked_for(run: RunRecord) -> str:
    """The query before training: why these scans and not others; empty if there was none."""
    scans = run.query
    if not scans:
        return ""
    chosen = sorted((scan for scan in scans if scan.chosen), key=lambda scan: scan.chosen)
    others = [scan for scan in scans if not scan.chosen]
    scored = [_point(scan, scan.score, 0.0) for scan in scans if math.isfinite(scan.score)]
    html = "<section>\n<h2>Which scans were asked for</h2>\n"
    if by_two := _by_two_measures(scans):
        html += (
            "<p>The pre-trained model rates every scan. Divergence is how far the model moves when it adapts to the "
            "scan, novelty how unlike the scans already chosen it is, difficulty how uncertain the prediction is where "
            "the anatomy is. The score averages the ranks by difficulty and by divergence × novelty. Scans are "
            "picked one by one, and the others rated anew. Unless the shortlist is 0, a pick is not the highest score, "
            "but of those with high scores the one with the largest distance to the chosen ones; the first is the one "
            "nearest to the mean.</p>\n"
        )
        caption = (
            "The chosen scans in the order of the picks, each as rated at its pick; "
            "the others as rated after the last one."
        )
        drawn = scatter(by_two, ("divergence × novelty", "difficulty"), KINDS)
        html += figure(drawn, "asked-for", caption)
    elif len({point.across for point in scored}) > 1:
        caption = "The scans by their score; numbers tell the order of the picks."
        if hidden := len(scored) - len(in_ranks(scored)):
            caption += f" {hidden} with lower scores are not shown."
        html += figure(ranked(scored, "score", KINDS), "asked-for", caption)
    elif scored:
        html += "<p>The strategy scores all scans alike, and chose by something else.</p>\n"
    names = ["scan", "score", *scans[0].numbers]
    if chosen:
        rows = [[scan.scan, str(scan.chosen), *_numbers(scan)] for scan in chosen]
        html += table(["scan", "pick", *names[1:]], rows)
    if others:
        html += folded(f"{count(len(others), 'scan')} not asked for", table(names, _rows(others)))
    return html + "</section>"


def trusted(run: RunRecord) -> str:
    """Whose pseudo-labels the run learnt from, round by round; empty if it made no such choice."""
    rounds = run.selection
    if not any(one.scans for one in rounds):
        return ""
    last = rounds[-1]
    html = "<section>\n<h2>Which scans were trusted</h2>\n"
    html += (
        "<p>At each round the teacher predicts the scans that are not annotated. A scan learns from its prediction "
        "if the confidence is in the upper part of all, and the distance to the nearest annotated scan in the lower "
        "part.</p>\n"
    )
    if last.scans:
        points = [Point(scan, it.distance, it.confidence, it.selected) for scan, it in sorted(last.scans.items())]
        corner = thresholds(run)
        caption = f"Round {last.round}, iteration {last.iteration:,}: {_trusted_of(last)} trusted."
        if corner is not None:
            distance, confidence = (f"{run.settings[name]:g}" for name in QUANTILES)
            caption += f" Dashed: the quantiles {confidence} of all confidences and {distance} of all distances."
        names, kinds = ("distance to the nearest annotated scan", "confidence"), ("trusted", "not trusted")
        drawn = scatter(points, names, kinds, corner=corner, named=len(last.selected) <= NAMED)
        html += figure(drawn, "trusted", caption)
        rows = [
            [scan, f"{it.confidence:.4g}", f"{it.distance:.4g}", "trusted" if it.selected else ""]
            for scan, it in sorted(last.scans.items(), key=lambda item: (not item[1].selected, item[0]))
        ]
        html += folded(f"All scans of round {last.round}", table(["scan", "confidence", "distance", ""], rows))
    by_round = {one.round: one.selected for one in rounds}
    ever = len(most_trusted(by_round))
    if ever:
        caption = "In which rounds each scan was trusted; above, how many were."
        if ever > ROWS:
            caption += f" Of {ever} scans the {ROWS} that were trusted most often."
        html += figure(trusted_by_round(by_round), "trusted-by-round", caption)
    html += table(["round", "iteration", "trusted", "of", "joined", "left"], _changes(rounds))
    return html + "</section>"


def thresholds(run: RunRecord) -> tuple[float, float] | None:
    """The greatest distance and the least confidence that the last round trusted.

    They are quantiles of its numbers, which ones the run's settings tell.

    Returns:
        None if the settings do not tell, or what they tell is not what was selected.
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


def _by_two_measures(scans: Sequence[QueriedScan]) -> list[Point]:
    """Difficulty against divergence x novelty, of the scans that have these numbers."""
    points = []
    for scan in scans:
        divergence, novelty, difficulty = (scan.numbers.get(name, math.nan) for name in MEASURES)
        points.append(_point(scan, divergence * novelty, difficulty))
    return [point for point in points if math.isfinite(point.across) and math.isfinite(point.up)]


def _point(scan: QueriedScan, across: float, up: float) -> Point:
    return Point(scan.scan, across, up, bool(scan.chosen), str(scan.chosen or ""))


def _rows(scans: Sequence[QueriedScan]) -> list[list[Cell]]:
    return [[scan.scan, *_numbers(scan)] for scan in scans]


def _numbers(scan: QueriedScan) -> list[str]:
    return [f"{it:.4g}" if math.isfinite(it) else "–" for it in (scan.score, *scan.numbers.values())]


def _trusted_of(one: TrustEntry) -> str:
    return f"{len(one.selected)} of {count(len(one.scans), 'scan')}"


def _changes(rounds: Sequence[TrustEntry]) -> list[list[Cell]]:
    """A row a round: how many scans it trusted, and how many joined and left since the round before."""
    rows: list[list[Cell]] = []
    for before, one in zip([None, *rounds], rounds, strict=False):
        row: list[Cell] = [str(one.round), f"{one.iteration:,}", str(len(one.selected)), str(len(one.scans))]
        if before is None:
            rows.append([*row, "–", "–"])
        else:
            former, now = set(before.selected), set(one.selected)
            rows.append([*row, str(len(now - former)), str(len(former - now))])
    return rows
