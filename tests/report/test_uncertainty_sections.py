"""Which predictions come first, and what is said of their uncertainty."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from common.metrics import MEASURES
from common.report import RunRecord, ScanScore
from common.report.uncertainty_figures import agreement, reliability_diagram
from common.report.uncertainty_sections import calibration_error, look_first, rank_correlation, uncertainty
from tests.report.pages import Text, section, texts

DICE = {"a": 0.9, "b": 0.5, "c": 0.8, "d": 0.0}
RUN = RunRecord(
    "run",
    "Run",
    scores=tuple(
        ScanScore(scan, "atrium", dict.fromkeys(MEASURES, math.nan) | {"dice": it}, missing=not it)
        for scan, it in DICE.items()
    ),
    uncertainty={"a": 0.1, "b": 0.2, "c": 0.3, "d": math.nan, "e": 0.25},
)
TITLE = "Which predictions to look at first"


def test_empty_predictions_come_first_then_the_uncertain_ones() -> None:
    assert [(it.scan, it.dice) for it in look_first(RUN)] == [
        ("d", 0.0), ("c", 0.8), ("e", None), ("b", 0.5), ("a", 0.9),
    ]  # fmt: skip


def test_the_rank_correlation_by_hand() -> None:
    """Uncertainty ranks a, b, c as 1, 2, 3 and error as 1, 3, 2: 1 - 6·(0 + 1 + 1) / (3·8) = 0.5."""
    found = uncertainty(RUN)
    assert found["rank_correlation"] == pytest.approx(0.5) and found["scans"] == 3
    assert math.isnan(rank_correlation([0.1, 0.2], [0.1, 0.2]))
    assert math.isnan(rank_correlation([0.1, 0.2, 0.3], [0.5, 0.5, 0.5]))


def test_the_calibration_error_by_hand() -> None:
    ranges = [
        {"voxels": 10, "confidence": 0.6, "accuracy": 0.5},
        {"voxels": 30, "confidence": 0.9, "accuracy": 0.92},
    ]
    assert calibration_error(ranges) == pytest.approx((10 * 0.1 + 30 * 0.02) / 40)
    assert calibration_error([]) is None
    text = Text(section(replace(RUN, reliability=tuple(ranges)), TITLE)).text
    assert "(expected calibration error): 4.0 points" in text


def test_the_section() -> None:
    shown = Text(section(RUN, TITLE))
    assert shown.rows[1:4] == [
        ["1", "d", "nothing predicted", "0.0"],
        ["2", "c", "0.300", "80.0"],
        ["3", "e", "0.250", "–"],
    ]
    assert "over 3 scans: 0.50 ." in shown.text
    assert "confident?" not in shown.text


def test_without_references() -> None:
    run = RunRecord("run", "Run", uncertainty={f"scan_{n:02}": n / 100 for n in range(14)})
    shown = Text(section(run, TITLE))
    assert shown.rows[0] == ["", "scan", "uncertainty"] and shown.rows[1] == ["1", "scan_13", "0.130"]
    assert "4 more predictions" in shown.text and "11" in shown.rows[12]
    assert "wrong ones" not in shown.text


def test_nothing_known_is_nothing_said() -> None:
    assert section(replace(RUN, uncertainty={}), TITLE) == ""


def test_figures_show_their_numbers() -> None:
    (dots,) = agreement([0.1, 0.3], [0.2, 0.4]).axes[0].lines
    assert list(dots.get_xdata()) == [0.1, 0.3] and list(dots.get_ydata()) == pytest.approx([20, 40])
    one = reliability_diagram([{"voxels": 3, "confidence": 0.75, "accuracy": 0.5}])
    assert list(one.axes[0].lines[1].get_ydata()) == [50]
    assert "share of the voxels" in texts(one)
