"""What a run's folder holds comes into the story, and the page is written from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from common.cohort import Cohort, read_labels_ras
from common.files import RECORD, claim, write_json
from common.query import Rating
from common.query.one_shot import write_ratings
from common.report import QueriedScan, read_query, read_run, read_scores, read_story, write_report
from common.report.reading import widest_slices


def test_a_folder_above_runs_tells_the_one_with_pseudo_labels(runs: Path, cohort: Cohort) -> None:
    story = read_story(runs, cohort.folder)
    assert [run.title for run in story.runs] == ["FM-ABS", "Supervised"]
    assert story.title == "FM-ABS on phantom"
    assert story.cohort is not None and story.cohort.counts == {"training": 5, "validation": 1, "test": 2}
    assert story.cohort.shape == (24, 24, 24)
    assert story.main.settings["max_iterations"] == 60
    assert [entry.strategy for entry in story.main.ledger] == ["random", "random", "her"]


def test_pictures(runs: Path, cohort: Cohort) -> None:
    story = read_story(runs, cohort.folder)
    assert [picture.kind for picture in story.pictures] == ["prediction", "prediction", "cross_label", "pseudo_label"]
    median, worst, cross, pseudo = story.pictures
    dice = {score.scan: score.values["dice"] for score in story.main.scores}
    assert dice[worst.scan] == min(dice.values()) and median.scan != worst.scan
    assert list(median.outlines) == ["FM-ABS", "Supervised"]
    scan = cohort.scan(median.scan)
    assert scan.label is not None and median.reference is not None
    label = read_labels_ras(scan.label)[0]
    assert np.array_equal(median.reference, label)
    assert np.array_equal(median.outlines["Supervised"], np.roll(label, 3, axis=1))
    assert cross.scan == story.main.ledger[0].scan and cross.slices == story.main.ledger[0].slices
    assert pseudo.scan not in {entry.scan for entry in story.main.ledger}


def test_the_page_is_written(runs: Path, cohort: Cohort, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    path = write_report(runs, cohort.folder, picture)
    html = path.read_text(encoding="utf-8")
    assert path == runs / "report.html"
    assert html.startswith("<!DOCTYPE html>") and html.rstrip().endswith("</html>")
    assert len(html) < 3_000_000
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size < 300_000
    assert "FM-ABS on phantom" in html


@pytest.mark.parametrize(("found", "expected"), [(True, True), (False, False), (None, False), ("no key", False)])
def test_whether_the_checkpoint_was_chosen_on_the_scored_scans(tmp_path: Path, found: object, expected: bool) -> None:
    assert not read_run(tmp_path).chosen_on_scored
    content = {"scans": 1} | ({} if found == "no key" else {"checkpoint_chosen_on_this_split": found})
    write_json(tmp_path / "evaluation" / "metrics.json", content)
    assert read_run(tmp_path).chosen_on_scored is expected


def test_one_run_without_a_cohort(runs: Path) -> None:
    story = read_story(runs / "supervised")
    assert len(story.runs) == 1 and story.cohort is None and not story.pictures


def test_a_cohort_beside_the_run_is_found(runs: Path, cohort: Cohort, tmp_path: Path) -> None:
    shutil.copytree(runs / "fmabs", tmp_path / "run")
    shutil.copytree(cohort.folder, tmp_path / "run" / "phantom")
    assert read_story(tmp_path / "run").cohort is not None


def test_the_cohort_that_a_command_was_given_is_found(runs: Path, cohort: Cohort, tmp_path: Path) -> None:
    shutil.copytree(runs / "fmabs", tmp_path / "run")
    claim(tmp_path / "other", {"dataset_dir": str(cohort.folder)})
    shutil.copy(tmp_path / "other" / RECORD, tmp_path / "run")
    found = read_story(tmp_path / "run").cohort
    assert found is not None and found.counts["training"] == len(cohort.training)
    for given in (str(tmp_path / "nowhere"), None):
        (tmp_path / "run" / RECORD).write_text(json.dumps({"dataset_dir": given}))
        assert read_story(tmp_path / "run").cohort is None


@pytest.mark.parametrize(
    "name", ["log.jsonl", "ledger.json", "checkpoint.pt", "evaluation", "predictions", "annotation", "pseudo_label"]
)
def test_missing_parts_are_left_out(name: str, runs: Path, cohort: Cohort, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs / "fmabs", run)
    path = run / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert write_report(run, cohort.folder).is_file()


def test_no_run_is_an_error(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match=r"log\.jsonl or ledger\.json or query\.csv"):
            read_story(folder)


def test_no_picture_without_predictions(runs: Path, cohort: Cohort, tmp_path: Path) -> None:
    shutil.copytree(runs / "fmabs", tmp_path / "run", ignore=shutil.ignore_patterns("predictions"))
    with pytest.raises(ValueError, match="run inference first"):
        write_report(tmp_path / "run", cohort.folder, tmp_path / "picture.png")


@pytest.mark.parametrize(
    ("name", "content"),
    [("evaluation/metrics.csv", "scan,dice\na,0.5\n"), ("checkpoint.pt", "x"), ("ledger.json", "{}")],
)
def test_a_damaged_file_is_named(name: str, content: str, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "fmabs", tmp_path / "run")
    (tmp_path / "run" / name).write_text(content)
    with pytest.raises(ValueError, match=name.split("/")[-1]):
        read_run(tmp_path / "run")


def test_scores_have_nan_for_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("scan,class,dice,jaccard,hd95_voxel,asd_voxel,hd95_mm,asd_mm,missing\na,heart,0,0,,,,,1\n")
    (score,) = read_scores(path)
    assert score.missing and score.values["dice"] == 0 and np.isnan(score.values["asd_mm"])
    assert read_scores(tmp_path / "other.csv") == []


def test_titles_of_folders(tmp_path: Path) -> None:
    names = {"fmabs_her_1": "FM-ABS, HER queries, seed 1", "my_run": "my run", "mean_teacher": "Mean teacher"}
    names |= {"assft_adapt": "ASSFT", "assft_adapt_1": "ASSFT, seed 1"}
    assert {name: read_run(tmp_path / name).title for name in names} == names


def test_widest_slices() -> None:
    label = np.zeros((6, 7, 8), dtype=np.uint8)
    label[2, 3:5, 4:7] = 1
    label[2, 3, 1] = 255
    assert widest_slices(label) == {"axial": 4, "coronal": 3, "sagittal": 2}
    assert widest_slices(np.zeros((6, 7, 8), dtype=np.uint8)) == {"axial": 4, "coronal": 3, "sagittal": 3}


def test_a_query_is_read(adapted: Path) -> None:
    first, second, *others = read_run(adapted).query
    assert (first.scan, first.score, first.chosen, second.chosen) == ("case_4", 0.9375, 1, 2)
    assert first.numbers == {"divergence": 0.25, "novelty": 1, "difficulty": 0.7031}
    assert [(scan.scan, scan.chosen) for scan in others] == [("case_1", 0), ("case_3", 0)]


def test_the_table_of_a_query_is_understood_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "query.csv"
    write_ratings(path, [Rating("b", 0.75, {"novelty": 0.5})], [Rating("a", 0.25, {"novelty": 0.125})])
    assert read_query(path) == [
        QueriedScan("b", 0.75, {"novelty": 0.5}, chosen=1),
        QueriedScan("a", 0.25, {"novelty": 0.125}),
    ]


def test_a_query_may_have_no_numbers_and_no_scores(tmp_path: Path) -> None:
    path = tmp_path / "query.csv"
    path.write_text("scan,score,chosen\na,0.5,1\nb,,0\n")
    first, second = read_query(path)
    assert not first.numbers and first.score == 0.5 and np.isnan(second.score)
    assert read_query(tmp_path / "other.csv") == []


def test_the_rounds_of_a_selection_are_read(adapted: Path) -> None:
    first, second = read_run(adapted).selection
    assert [(one.round, one.iteration) for one in (first, second)] == [(1, 20), (2, 40)]
    assert (first.selected, second.selected) == (["case_3", "case_5"], ["case_1", "case_5"])
    assert (second.scans["case_5"].confidence, second.scans["case_5"].distance) == (0.9321, 0.1234)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("query.csv", "", "no scan"),
        ("query.csv", "scan,score\na,0.5\n", "no chosen"),
        ("query.csv", "scan,score,chosen\na,high,1\n", "high"),
        ("query.csv", "scan,score,divergence,chosen\na,0.5\n", "NoneType"),
        ("query.csv", "scan,score,chosen\na,0.5,2\nb,0.4,0\n", r"\[2\]"),
        ("query.csv", "scan,score,chosen\na,0.5,1\nb,0.4,1\n", r"\[1, 1\]"),
        ("ledger.json", "{", "JSON"),
        ("ledger.json", '{"version": 1, "entries": [], "selections": [{"round": 1}]}', r"KeyError\('scans'\)"),
    ],
)
def test_damaged_choices_are_named(name: str, content: str, found: str, adapted: Path) -> None:
    (adapted / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{name}: expected (?s:.*){found}"):
        read_run(adapted)


def test_a_query_that_waits_for_people_is_a_run_but_its_pre_training_is_none(adapted: Path) -> None:
    for name in ("log.jsonl", "ledger.json"):
        (adapted / name).unlink()
    assert [run.name for run in read_story(adapted).runs] == ["assft_adapt"]
    (adapted / "query.csv").unlink()
    with pytest.raises(FileNotFoundError, match="assft_adapt"):
        read_story(adapted)
