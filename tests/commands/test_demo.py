"""The demo's parts, and a tiny one from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.commands.bundles import find_bundle
from common.commands.demo import METHODS, DemoSettings, demo, summary

TINY = DemoSettings(
    scans=7, validation=1, test=2, size=32, patch=(16, 16, 16), width=2,
    iterations=6, initial=1, per_round=1, rounds=(0.34, 0.67),
)  # fmt: skip


def test_the_bundle_is_found_from_a_folder_below(monkeypatch: pytest.MonkeyPatch) -> None:
    root = find_bundle("fmabs_la").parents[1]
    monkeypatch.chdir(root / "tests")
    assert find_bundle("fmabs_la") == root / "bundles" / "fmabs_la"


def test_an_absent_bundle_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(FileNotFoundError, match=r"bundles/nothing: .*from the repository's folder"):
        find_bundle("nothing")


@pytest.mark.parametrize(("dice", "words"), [(0.8, "20.0 points ahead"), (0.5, "10.0 points behind")])
def test_summary(dice: float, words: str) -> None:
    metrics = {"fmabs": {"dice": dice}, "supervised": {"dice": 0.6}, "slices": 24, "settings": {"test": 6}}
    text = summary(metrics)
    assert words in text and f"{100 * dice:.1f} %" in text and "60.0 %" in text and "24 slices" in text


def test_the_budget_is_the_first_scans_and_two_rounds() -> None:
    assert DemoSettings(initial=4, per_round=2).budget == 8


def test_a_folder_with_other_things_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="expected an empty folder"):
        demo(tmp_path, TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_a_tiny_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    metrics = demo(folder, TINY)
    assert json.loads((folder / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    assert all(0 <= metrics[method]["dice"] <= 1 for method in METHODS)
    assert metrics["slices"] == 3 * TINY.budget
    ledgers = [json.loads((folder / method / "ledger.json").read_text())["entries"] for method in METHODS]
    assert ledgers[0] == ledgers[1]
    assert [entry["round"] for entry in ledgers[0]] == [0, 1, 2]
    assert len(list((folder / "fmabs" / "predictions").glob("*.nii.gz"))) == TINY.test
    assert "FM-ABS on phantom" in (folder / "report.html").read_text()
    assert capsys.readouterr().out.rstrip().splitlines()[-1].strip().startswith("FM-ABS with our additions is")

    trained = (folder / "fmabs" / "checkpoint.pt").stat().st_mtime_ns
    assert demo(folder, TINY) == metrics
    assert (folder / "fmabs" / "checkpoint.pt").stat().st_mtime_ns == trained
    with pytest.raises(ValueError, match="seed 0, not 1"):
        demo(folder, DemoSettings(**{**TINY.__dict__, "seed": 1}))
