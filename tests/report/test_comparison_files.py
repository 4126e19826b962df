"""Runs that are compared are read from their folders; what is wrong with these is named, without a traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from common.__main__ import main
from common.cohort import Cohort
from common.files import write_json
from common.report import read_comparison, read_run, write_comparison
from tests.report.pages import Text


@pytest.fixture
def copies(runs: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of two evaluated runs, which can be damaged."""
    for name in ("fmabs", "supervised"):
        shutil.copytree(runs / name, tmp_path / name, ignore=shutil.ignore_patterns("annotation", "predictions"))
    return tmp_path / "fmabs", tmp_path / "supervised"


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What the command says when it refuses; no page may be there then."""
    with pytest.raises(SystemExit) as caught:
        main(["report", *map(str, words)])
    assert caught.value.code not in (0, None)
    return str(caught.value.code) if isinstance(caught.value.code, str) else capsys.readouterr().err


def test_a_comparison_is_written_beside_the_first_run(
    copies: tuple[Path, Path], cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = copies
    main(["report", str(first), str(second), "--dataset_dir", str(cohort.folder)])
    assert capsys.readouterr().out.strip() == str(first / "comparison.html")
    shown = Text((first / "comparison.html").read_text())
    assert shown.titles[0] == "FM-ABS and Supervised on phantom"
    assert "FM-ABS − Supervised" in [row[0] for row in shown.rows]
    assert "no test can be significant" in shown.text, "there are only two scans"
    assert write_comparison(copies, tmp_path / "new") == tmp_path / "new" / "comparison.html"
    assert not (first / "report.html").exists()


def test_one_run_is_reported_on(copies: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = copies
    main(["report", str(first)])
    main(["report", "--output_dir", str(second)])
    assert capsys.readouterr().out.split() == [str(path / "report.html") for path in copies]


def test_runs_of_one_name_are_told_apart(copies: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = copies
    shutil.move(second, tmp_path / "other" / "fmabs")
    titles = [run.title for run in read_comparison([first, tmp_path / "other" / "fmabs"]).runs]
    assert titles == [f"FM-ABS ({first})", f"FM-ABS ({tmp_path / 'other' / 'fmabs'})"]


def test_the_evaluated_run_in_a_folder_is_found(copies: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = copies
    (tmp_path / "stages" / "finetuned").mkdir(parents=True)
    shutil.copy(first / "log.jsonl", tmp_path / "stages" / "finetuned")
    shutil.move(second, tmp_path / "stages" / "supervised")
    assert [run.name for run in read_comparison([first, tmp_path / "stages"]).runs] == ["fmabs", "supervised"]


def test_a_run_without_evaluation(copies: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = copies
    shutil.rmtree(second / "evaluation")
    message = refused(capsys, first, second)
    assert f"{second}: expected an evaluated run, found no evaluation/metrics.csv; run `evaluating`" in message


def test_an_empty_folder_and_none(
    copies: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        assert f"{folder}: expected a run's folder" in refused(capsys, copies[0], folder)
        assert f"{folder}: expected a run's folder" in refused(capsys, folder)
    assert "report expects the folder of a run, once, got none" in refused(capsys)
    assert "got " in refused(capsys, copies[0], "--output_dir", copies[1])


def test_a_run_that_is_given_twice(copies: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = copies
    assert f"{first}: expected each run once, found it twice" in refused(capsys, first, second, first)
    assert "expected each run once" in refused(capsys, first, first / ".." / "fmabs")


def test_several_evaluated_runs_in_one_folder(copies: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = copies
    assert "found several, fmabs, supervised; give their folders" in refused(capsys, first.parent, first)


def test_evaluations_of_other_scans_and_splits(copies: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = copies
    for folder, split in zip(copies, ("test", "validation"), strict=True):
        write_json(folder / "evaluation" / "metrics.json", {"split": split})
    assert "same split, found test in FM-ABS and validation in Supervised" in refused(capsys, first, second)
    (second / "evaluation" / "metrics.json").unlink()
    scores = second / "evaluation" / "metrics.csv"
    scores.write_text(scores.read_text().replace("phantom_", "another_"))
    assert "found none that all share" in refused(capsys, first, second)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("evaluation/metrics.json", "{"),
        ("evaluation/metrics.json", "[]"),
        ("evaluation/metrics.csv", "scan,dice\na,0.5\n"),
        ("evaluation/uncertainty.json", '{"scans": {"a": "high"}, "reliability": []}'),
        ("evaluation/uncertainty.json", '{"scans": []}'),
        ("provenance.json", '{"sessions": 3}'),
        ("log.jsonl", '{"kind": "train"\n{"kind": "train", "iteration": 1}\n'),
        ("log.jsonl", '{"kind": "train", "iteration": 1, "loss": "low"}\n'),
        ("log.jsonl", "[1, 2]\n"),
        ("ledger.json", "{}"),
        ("checkpoint.pt", "x"),
    ],
)
def test_a_damaged_file_is_named(
    name: str, content: str, copies: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = copies
    (second / name).write_text(content)
    for words in ((first, second), (second,)):
        message = refused(capsys, *words)
        assert message.startswith("Error: ") and str(second / name) in message


def test_bytes_that_are_no_text(copies: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("log.jsonl", "evaluation/metrics.csv"):
        kept = (copies[1] / name).read_bytes()
        (copies[1] / name).write_bytes(b"\xff\xfe\x00" * 9)
        assert str(copies[1] / name) in refused(capsys, copies[1])
        (copies[1] / name).write_bytes(kept)


def test_what_evaluation_and_inference_leave_is_read(copies: tuple[Path, Path]) -> None:
    folder, _ = copies
    ranges = [{"voxels": 4, "confidence": 0.9, "accuracy": 0.5}]
    write_json(folder / "evaluation" / "uncertainty.json", {"scans": {"a": 0.25, "b": None}, "reliability": ranges})
    write_json(folder / "predictions" / "uncertainty.json", {"scans": {"a": 0.5, "c": 0.75}, "reliability": []})
    write_json(folder / "evaluation" / "metrics.json", {"split": "test"})
    for place, stage, started in ((".", "training", "2026-01-01"), ("evaluation", "evaluation", "2026-01-02")):
        session = {"stage": stage, "started": started}
        write_json(folder / place / "provenance.json", {"version": 1, "sessions": [session]})
    run = read_run(folder)
    assert run.split == "test"
    assert run.uncertainty == pytest.approx({"a": 0.25, "b": float("nan"), "c": 0.75}, nan_ok=True)
    assert json.loads(json.dumps(run.reliability)) == ranges
    assert [one["stage"] for one in run.sessions] == ["training", "evaluation"]
