"""Comparisons of runs, worked out by hand, and what is refused."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from common.metrics import MEASURES, bootstrap_interval
from common.report import RunRecord, ScanScore, Story, compare, page
from common.report.results_sections import ALL_CLASSES, intervals
from tests.report.pages import Text, entry, section

FIRST = [0.80, 0.85, 0.90, 0.75, 0.60, 0.95, 0.70]
SECOND = [0.70, 0.80, 0.88, 0.74, 0.66, 0.91, 0.63]


def scored(title: str, dice: list[float], *, label: str = "atrium", begin: int = 0, **others) -> RunRecord:
    values = dict.fromkeys(MEASURES, math.nan)
    scores = [ScanScore(f"case_{begin + n}", label, values | {"dice": it}) for n, it in enumerate(dice)]
    return RunRecord(title, title, scores=tuple(scores), **others)


def test_two_runs_by_hand() -> None:
    """Differences 10, 5, 2, 1, -6, 4, 7: the negative one has rank 5, and 20 of 128 signs give a sum of at most 5."""
    result = compare([scored("A", FIRST), scored("B", SECOND)])
    (pair,) = result.pairs
    assert pair.difference == pytest.approx(0.23 / 7)
    assert (pair.better, pair.worse) == (6, 1)
    # subsets of 1..7 with a sum of at most 5: {}, 1, 2, 3, 4, 5, 12, 13, 14, 23
    assert pair.p == pytest.approx(2 * 10 / 128) and pair.p_adjusted == pair.p
    assert pair.interval == bootstrap_interval(np.subtract(FIRST, SECOND))
    assert result.least_p == 2 / 128 and not result.left_out


def test_three_runs_are_corrected() -> None:
    worst = [it - 0.2 - n / 100 for n, it in enumerate(SECOND)]
    result = compare([scored("A", FIRST), scored("B", SECOND), scored("C", worst)])
    assert [(pair.first, pair.second) for pair in result.pairs] == [("A", "B"), ("A", "C"), ("B", "C")]
    least = 2 / 128
    assert [pair.p for pair in result.pairs] == pytest.approx([20 / 128, least, least])
    assert [pair.p_adjusted for pair in result.pairs] == pytest.approx([20 / 128, 3 * least, 3 * least])
    assert result.least_p == 3 * least


def test_scans_that_not_all_have_are_left_out_and_named() -> None:
    runs = [scored("A", FIRST), scored("B", SECOND, begin=1)]
    result = compare(runs)
    assert result.scans == [f"case_{n}" for n in range(1, 7)]
    assert result.left_out == ("case_0", "case_7")
    assert result.pairs[0].difference == pytest.approx((sum(FIRST[1:]) - sum(SECOND[:-1])) / 6)
    text = Text(page(Story("Title", tuple(runs)))).text
    assert "Left out, since not all runs have them: case_0, case_7." in text


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([scored("A", FIRST)], "at least two runs"),
        ([scored("A", FIRST), RunRecord("B", "B")], "B: expected an evaluated run"),
        ([scored("A", FIRST), scored("B", SECOND, label="kidney")], "classes, found atrium in A and kidney in B"),
        ([scored("A", FIRST, split="test"), scored("B", SECOND, split="validation")], "found test in A and validation"),
        ([scored("A", FIRST), scored("B", SECOND, begin=50)], "found none that all share (A: case_0, case_1, case_2"),
    ],
)
def test_runs_that_cannot_be_compared(runs: list[RunRecord], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        compare(runs)


def test_an_unknown_split_is_not_refused() -> None:
    assert compare([scored("A", FIRST, split="test"), scored("B", SECOND)]).pairs


@pytest.mark.parametrize(("scans", "runs", "said"), [(5, 2, "0.062"), (6, 2, None), (6, 3, "0.094"), (7, 3, None)])
def test_too_few_scans_say_so(scans: int, runs: int, said: str | None) -> None:
    given = tuple(scored(name, [it - n / 100 for it in FIRST[:scans]]) for n, name in enumerate("ABC"[:runs]))
    text = Text(page(Story("Title", given))).text
    assert ("no test can be significant" in text) == (said is not None)
    if said:
        assert f"the smallest p-value there can be is {said}." in text


def test_the_page_of_a_comparison() -> None:
    first = replace(scored("A", FIRST), ledger=(entry("case_20", 0), entry("case_21", 1)))
    shown = Text(page(Story("Title", (first, scored("B", SECOND)))))
    low, high = bootstrap_interval(np.subtract(FIRST, SECOND))
    signs = [f"{100 * end:+.1f}".replace("-", "−") for end in (low, high)]
    assert ["A − B", "+3.3", f"{signs[0]} to {signs[1]}", "6", "1", "0.16", "0.16"] in shown.rows
    low, high = bootstrap_interval(FIRST)
    assert ["A", "79.3", f"{100 * low:.1f} to {100 * high:.1f}"] in shown.rows
    assert ["A", "2", "0", "6", "2,468"] in shown.rows
    assert "Dice on the 7 scans that all runs were evaluated on" in shown.text


def test_runs_of_a_folder_that_cannot_be_compared_say_why() -> None:
    html = page(Story("Title", (scored("A", FIRST), scored("B", SECOND, label="kidney"))))
    assert "There is no test: expected runs of the same classes" in Text(html).text


def test_intervals_of_each_class_and_of_their_mean() -> None:
    one, two = scored("A", FIRST), scored("A", SECOND, label="ventricle")
    run = replace(one, scores=one.scores + two.scores)
    found = intervals(run)
    assert list(found) == ["atrium", "ventricle", ALL_CLASSES]
    assert found["atrium"]["dice"] == bootstrap_interval(FIRST)
    assert found[ALL_CLASSES]["dice"] == bootstrap_interval([(a + b) / 2 for a, b in zip(FIRST, SECOND, strict=True)])
    assert found["atrium"]["hd95_mm"] is None
    assert list(intervals(one)) == ["atrium"]
    low, high = found["ventricle"]["dice"]
    assert f"<td>{100 * low:.1f} to {100 * high:.1f}</td>" in section(run, "Evaluation, scan by scan")
