"""Chosen scans stand out among the others, where their numbers are."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from common.report.query_figures import ROWS, Point, in_ranks, most_trusted, ranked, scatter, trusted_by_round
from tests.report.pages import texts

KINDS = ("asked for", "not asked for")
POINTS = (
    Point("near", 0.5, 0.75, True, "2"),
    Point("far", 0.9, 0.25, True, "1"),
    Point("other", 0.2, 0.5),
)


def chosen_and_others(axes: Axes) -> tuple[list, list]:
    return axes.collections[-1].get_offsets().tolist(), next(
        line.get_xydata().tolist() for line in axes.lines if line.get_label() == KINDS[1]
    )


def test_scatter_puts_scans_at_their_numbers() -> None:
    figure = scatter(POINTS, ("distance", "confidence"), KINDS)
    assert chosen_and_others(figure.axes[0]) == ([[0.5, 0.75], [0.9, 0.25]], [[0.2, 0.5]])
    shown = texts(figure)
    assert {"near", "far", "1", "2", "distance", "confidence", *KINDS} <= set(shown)
    assert "other" not in shown


def test_thresholds_are_drawn() -> None:
    figure = scatter(POINTS, ("distance", "confidence"), KINDS, corner=(0.625, 0.5))
    lines = [line.get_xydata().tolist() for line in figure.axes[0].lines]
    assert [[0, 0.5], [1, 0.5]] in lines and [[0.625, 0], [0.625, 1]] in lines
    assert {"at most 0.625", "at least 0.5"} <= set(texts(figure))


@pytest.mark.parametrize(
    ("across", "scale"),
    [
        ([1.0, 0.001, 0.5], "log"),
        ([1.0, 0.0, 0.001], "symlog"),
        ([1.0, 0.1, 0.0], "linear"),
        ([-1.0, 0.001, 1.0], "linear"),
    ],
)
def test_a_wide_axis_is_logarithmic_and_shows_all(across: list[float], scale: str) -> None:
    figure = scatter([Point(str(x), x, 0.5, x == 1) for x in across], ("x", "y"), KINDS)
    axes = figure.axes[0]
    assert axes.get_xscale() == scale
    assert axes.get_xlim()[0] < min(across) and axes.get_xlim()[1] > max(across)
    assert not [text for text in texts(figure) if "$" in text]


def test_names_cover_neither_each_other_nor_circles() -> None:
    points = [Point(f"scan_{i}", 0.5 + 1e-6 * i, 0.5, True, str(i)) for i in range(6)]
    points += [Point("left", 0.0, 0.0), Point("right", 1.0, 1.0)]
    axes = scatter(points, ("x", "y"), KINDS).axes[0]
    named = [text for text in axes.texts if text.get_text().startswith("scan_")]
    assert 2 <= len(named) <= 4
    places = {text.get_horizontalalignment(): text for text in named}
    assert {"left", "right"} <= set(places)
    assert not [
        text for text in scatter(points, ("x", "y"), KINDS, named=False).axes[0].texts if "scan" in text.get_text()
    ]


def test_one_scan_is_enough() -> None:
    assert scatter([Point("a", 0.0, 0.0, True, "1")], ("x", "y"), KINDS).axes[0].get_xlim() == (-0.1, 0.1)


def test_ranks_have_a_row_a_scan_the_highest_first() -> None:
    figure = ranked(POINTS, "score", KINDS)
    assert chosen_and_others(figure.axes[0]) == ([[0.9, 0.0], [0.5, 1.0]], [[0.2, 2.0]])
    assert {"near", "far", "other", "score", "1", "2"} <= set(texts(figure))


def test_ranks_of_many_scans_keep_the_chosen_ones() -> None:
    points = [Point(f"scan_{i:03d}", float(i), 0.0, i == 0) for i in range(100)]
    shown = in_ranks(points)
    assert len(shown) == ROWS and shown[-1] == points[0]
    assert [point.across for point in shown[:-1]] == list(range(99, 100 - ROWS, -1))


def test_rounds_are_bars_with_counts_above() -> None:
    rounds = {1: ["a", "b"], 2: ["a"], 3: ["a", "b", "c"]}
    assert most_trusted(rounds) == ["a", "b", "c"]
    figure = trusted_by_round(rounds)
    bars = [(bar.get_x(), bar.get_y() + bar.get_height() / 2, bar.get_width()) for bar in figure.axes[0].patches]
    expected = [(-0.45, 0, 2.9), (-0.45, 1, 0.9), (1.55, 1, 0.9), (1.55, 2, 0.9)]
    assert np.allclose(bars, expected)
    counts = [text.get_text() for text in figure.axes[0].texts if text.get_text().isdigit()]
    assert counts == ["2", "1", "3"]


def test_long_runs_with_many_scans_stay_readable() -> None:
    rounds = {number: [f"scan_{i}" for i in range(number)] for number in range(1, 101)}
    figure = trusted_by_round(rounds)
    assert len(figure.axes[0].get_xticks()) == 25
    assert len([text for text in figure.axes[0].texts if text.get_text().startswith("scan")]) == ROWS
