"""The page tells which scans were asked for and which were trusted, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from common.annotations import ScanTrust, TrustEntry
from common.report import QueriedScan, RunRecord, Story, page, read_run, write_report
from common.report.query_sections import thresholds
from tests.report.pages import Text, section

ASKED_FOR, TRUSTED = TITLES = ("Which scans were asked for", "Which scans were trusted")


def test_a_whole_run_is_told(adapted: Path) -> None:
    shown = Text(write_report(adapted).read_text(encoding="utf-8"))
    assert shown.titles == ["ASSFT", "What was run", "How it learnt", *TITLES, "The annotated scans"]
    assert len(shown.identifiers) == len(set(shown.identifiers))
    assert "2 densely annotated scans" in shown.text


def test_the_query_has_every_number_the_others_folded(adapted: Path) -> None:
    html = section(read_run(adapted), ASKED_FOR)
    chosen, others = html.split("<details>")
    assert Text(chosen).rows == [
        ["scan", "pick", "score", "divergence", "novelty", "difficulty"],
        ["case_4", "1", "0.9375", "0.25", "1", "0.7031"],
        ["case_2", "2", "0.75", "0.125", "0.03125", "0.6212"],
    ]
    assert Text(others).rows == [
        ["scan", "score", "divergence", "novelty", "difficulty"],
        ["case_1", "0.625", "0.0625", "0.5", "0.51"],
        ["case_3", "0.41", "0.03125", "0.0625", "0.4"],
    ]
    assert "2 scans not asked for" in Text(others).text
    assert "divergence × novelty" in Text(chosen).text and "case_4" in Text(chosen).words


def test_a_query_without_those_numbers_is_ranked() -> None:
    query = (QueriedScan("b", 0.5, chosen=1), QueriedScan("a", 0.75), QueriedScan("c", float("nan")))
    shown = Text(section(RunRecord("x", "x", query=query), ASKED_FOR))
    assert shown.rows == [["scan", "pick", "score"], ["b", "1", "0.5"], ["scan", "score"], ["a", "0.75"], ["c", "–"]]
    assert "The scans by their score" in shown.text and "divergence" not in shown.text


def test_scans_beyond_the_figure_are_counted() -> None:
    query = tuple(QueriedScan(f"scan_{i}", i / 50, chosen=int(i == 49)) for i in range(50))
    assert "10 with lower scores are not shown." in Text(section(RunRecord("x", "x", query=query), ASKED_FOR)).text


@pytest.mark.parametrize(("score", "told"), [(0.0, "0"), (float("nan"), "–")])
def test_scores_that_tell_nothing_are_not_drawn(score: float, told: str) -> None:
    run = RunRecord("x", "x", query=(QueriedScan("a", score, chosen=1), QueriedScan("b", score)))
    shown = Text(section(run, ASKED_FOR))
    assert shown.rows == [["scan", "pick", "score"], ["a", "1", told], ["scan", "score"], ["b", told]]
    assert "figure" not in shown.tags
    assert ("gives all scans the same score" in shown.text) == (told == "0")


def test_a_query_for_all_scans_folds_nothing() -> None:
    run = RunRecord("x", "x", query=(QueriedScan("a", 0.5, chosen=2), QueriedScan("b", 0.25, chosen=1)))
    shown = Text(section(run, ASKED_FOR))
    assert shown.rows == [["scan", "pick", "score"], ["b", "1", "0.25"], ["a", "2", "0.5"]]
    assert "details" not in shown.tags


def test_trust_round_by_round(adapted: Path) -> None:
    html = section(read_run(adapted), TRUSTED)
    before, _, after = html.partition("<details>")
    folded, _, after = after.partition("</details>")
    assert "Round 2, iteration 40: 2 of 3 scans trusted." in Text(before).text
    assert Text(folded).rows == [
        ["scan", "confidence", "distance", ""],
        ["case_1", "0.875", "0.25", "trusted"],
        ["case_5", "0.9321", "0.1234", "trusted"],
        ["case_3", "0.75", "0.0625", ""],
    ]
    assert Text(after).rows == [
        ["round", "iteration", "trusted", "of", "joined", "left"],
        ["1", "20", "2", "3", "–", "–"],
        ["2", "40", "2", "3", "1", "1"],
    ]


def last_round(distance_quantile: float | None) -> RunRecord:
    """Distances 1, 2, 3 and 4, confidences 0.5, 0.6, 0.7 and 0.8; the third scan is trusted."""
    scans = {f"s{i}": ScanTrust(0.4 + 0.1 * i, float(i), i == 3) for i in range(1, 5)}
    settings = {"confidence_quantile": 0.5, "distance_quantile": distance_quantile}
    known = {name: value for name, value in settings.items() if value is not None}
    return RunRecord("x", "x", settings=known, selection=(TrustEntry(1, 10, scans),))


def test_thresholds_are_the_quantiles_that_the_settings_name() -> None:
    assert thresholds(last_round(0.75)) == pytest.approx((3.25, 0.65))
    text = Text(section(last_round(0.75), TRUSTED)).text
    assert "at most 3.25" in text and "at least 0.65" in text
    assert "the 0.5 quantile of all confidences and the 0.75 quantile of all distances" in text


@pytest.mark.parametrize("quantile", [None, 1.0])
def test_thresholds_that_cannot_be_told_are_left_out(quantile: float | None) -> None:
    run = last_round(quantile)
    assert thresholds(run) is None
    text = Text(section(run, TRUSTED)).text
    assert "1 of 4 scans trusted" in text and "at most" not in text and "Dashed" not in text


def test_nobody_trusted_and_nobody_left_to_trust() -> None:
    scans = {"a": ScanTrust(0.5, 1.0, False)}
    nobody = RunRecord("x", "x", selection=(TrustEntry(1, 10, scans), TrustEntry(2, 20, {})))
    shown = Text(section(nobody, TRUSTED))
    assert shown.rows[1:] == [["1", "10", "0", "1", "–", "–"], ["2", "20", "0", "0", "0", "0"]]
    assert "figure" not in shown.tags
    assert section(replace(nobody, selection=nobody.selection[1:]), TRUSTED) == ""


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("query.csv", {TITLES[0]}),
        ("ledger.json", {TITLES[1], "The annotated scans"}),
        ("checkpoint.pt", {"What was run"}),
    ],
)
def test_what_is_missing_is_left_out(name: str, missing: set[str], adapted: Path) -> None:
    titles = set(Text(page(Story("Title", (read_run(adapted),)))).titles)
    (adapted / name).unlink()
    assert titles - set(Text(page(Story("Title", (read_run(adapted),)))).titles) == missing


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a & b", '"><b>', "$x^2$", "{{ 7 * 7 }}"])
def test_names_are_escaped(text: str) -> None:
    numbers = {"divergence": 0.5, "novelty": 0.5, "difficulty": 0.5, text: 1.0}
    selection = TrustEntry(1, 10, {text: ScanTrust(0.5, 0.5, True)})
    run = RunRecord(text, text, query=(QueriedScan(text, 0.5, numbers, 1),), selection=(selection,))
    for shown in (Text(section(run, ASKED_FOR)), Text(section(run, TRUSTED))):
        assert "script" not in shown.tags and "b" not in shown.tags
        assert text in [row[0] for row in shown.rows]
        assert text in [word.strip() for word in shown.words]
