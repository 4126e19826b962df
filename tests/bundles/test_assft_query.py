"""The adaptation bundle's query before training, at the size of seconds."""

import json
from pathlib import Path

import nibabel as nib
import pytest
import torch

from common.annotations import Ledger
from common.cohort import Cohort
from common.query.one_shot import PoolAssessment
from tests.bundles.adaptation import NAME, NETWORK, SWIN, copies, table
from tests.bundles.workflows import Stop, refused, run, workflow


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": "he"}, "round_00.json: expected a request by the query he, found one by random"),
        ({"budget": 3}, "budget must be 2, the scans that annotations were asked for, got 3"),
    ],
)
def test_a_pending_request_is_not_taken_for_that_of_another_query(change, message, query_settings):
    settings = query_settings | {"annotator": "folder", "query": "random"}
    run(NAME, "query", settings)
    with refused(ValueError, message):
        run(NAME, "query", settings | change)


def test_an_interrupted_query_goes_on(query_settings, monkeypatch):
    whole = {**query_settings, "output_dir": query_settings["output_dir"] + "_whole"}
    run(NAME, "query", whole)
    assess, calls = PoolAssessment.assess, []

    def interrupted(self, image):
        calls.append(image)
        if len(calls) == 3:
            raise Stop
        return assess(self, image)

    monkeypatch.setattr(PoolAssessment, "assess", interrupted)
    with refused(Stop):
        run(NAME, "query", query_settings)
    run(NAME, "query", query_settings)
    assert len(calls) == len(table(query_settings)) + 1
    assert table(query_settings) == table(whole)


@pytest.mark.parametrize("name", ["assft", "foreground_random"])
def test_pauses_for_people_and_goes_on(name, train_settings, query_settings, cohort_dir):
    for settings in (query_settings, train_settings):
        settings |= {"annotator": "folder", "query": name}
    run(NAME, "query", query_settings)
    output = Path(query_settings["output_dir"])
    assert not Ledger(output / "ledger.json").entries
    with refused(ValueError, "expected annotated scans, found none; draw"):
        run(NAME, "train", train_settings)
    request = json.loads((output / "requests" / "round_00.json").read_text())
    labels = {scan.id: scan.label for scan in Cohort.open(cohort_dir).training}
    for asked in request["scans"]:
        assert asked["slices"] == []
        nib.save(nib.load(labels[asked["scan"]]), asked["draw_in"])
    run(NAME, "query", query_settings)
    entries = Ledger(output / "ledger.json").entries
    assert [entry.scan for entry in entries] == [row["scan"] for row in table(query_settings)[:2]]
    assert {entry.annotator for entry in entries} == {"folder"} and all(entry.slices is None for entry in entries)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": 99}, "budget must lie in 1..6, the training scans, got 99"),
        ({"budget": 0}, "got 0"),
        ({"pretrained": "nowhere.pt"}, "nowhere.pt: expected the weights"),
        ({"pretrained": "swin_unetr_ssl"}, "no weights of swin_unetr_ssl"),
        ({"network_def": {**NETWORK, "channels": [4, 16]}}, "of another shape: model"),
        ({"channels": 4}, ".nii.gz: expected a 3D volume with 4 channels, found shape (32, 32, 32) with 1"),
        ({"roi_size": [30, 32, 32]}, "divisible by 16, as in"),
        ({"network_def": SWIN, "roi_size": [64, 48, 32]}, "found roi_size [64, 48, 32] and channels 1: spatial dim"),
        ({"query": "entropie"}, "query must be one of assft, her, he, lc, random, foreground_random, coreset"),
        ({"annotator": "nobody"}, "annotator must be one of oracle, folder, got 'nobody'"),
    ],
)
def test_bad_settings_are_named_before_the_query(changes, message, query_settings, monkeypatch, tmp_path):
    monkeypatch.setenv("LABEL_EFFICIENT_WEIGHTS", str(tmp_path))
    flow = workflow(NAME, "query", query_settings | changes)
    with refused(Exception, message):
        flow.initialize()
        flow.run()
    assert not (Path(query_settings["output_dir"]) / "query").exists()


@pytest.mark.parametrize("name", ["he", "random", "coreset"])
def test_another_query_is_one_setting(name, query_settings):
    settings = query_settings | {"query": name}
    run(NAME, "query", settings)
    rows = table(settings)
    assert list(rows[0]) == ["scan", "score", "chosen"]
    assert [row["chosen"] for row in rows] == ["1", "2", "0", "0", "0", "0"]
    if name == "he":
        scores = [float(row["score"]) for row in rows]
        assert scores == sorted(scores, reverse=True) and 0 < scores[-1] < scores[0] < 1
    ledger = Path(settings["output_dir"]) / "ledger.json"
    assert [(entry.scan, entry.strategy) for entry in Ledger(ledger).entries] == [
        (row["scan"], name) for row in rows[:2]
    ]
    with refused(ValueError, f"ledger.json: expected scans chosen by assft, found those of {name}"):
        workflow(NAME, "query", query_settings).initialize()


def test_training_queries_by_the_same_strategy_and_keeps_to_its_budget(train_settings, query_settings, capsys):
    settings = train_settings | {"query": "random"}
    run(NAME, "train", settings)
    alone = query_settings | {"query": "random", "output_dir": settings["output_dir"] + "_alone"}
    run(NAME, "query", alone)
    assert table(settings) == table(alone)
    here = {"query": query_settings | {"query": "random", "output_dir": settings["output_dir"]}, "train": settings}
    for stage, known in here.items():
        with refused(ValueError, "ledger.json: expected 3 annotated scans, as budget says, found 2"):
            workflow(NAME, stage, known | {"budget": 3}).initialize()
    capsys.readouterr()
    (Path(settings["output_dir"]) / "checkpoint.pt").unlink()
    run(NAME, "train", train_settings)
    assert "THE SCANS WERE CHOSEN BY random; query assft is not made" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["assft", "coreset"])
def test_identical_scans_without_foreground_are_chosen_by_name(name, query_settings, cohort_dir, tmp_path, capsys):
    folder = copies(cohort_dir, tmp_path / "same", lambda image: image, [0, 0, 0, 0])
    weights = torch.load(query_settings["pretrained"], weights_only=True)
    torch.save({name: torch.zeros_like(it) for name, it in weights.items()}, tmp_path / "blind.pt")
    settings = query_settings | {"dataset_dir": folder, "pretrained": str(tmp_path / "blind.pt"), "query": name}
    run(NAME, "query", settings)
    assert [(row["scan"], row["chosen"]) for row in table(settings)] == [("0", "1"), ("1", "2"), ("2", "0"), ("3", "0")]
    printed = capsys.readouterr().out
    assert "NO FOREGROUND IS PREDICTED in any of 4 scans" in printed
    assert "ALL 4 SCANS ARE ALIKE to the model" in printed


def test_features_of_a_layer_that_is_not_there(query_settings):
    with refused(Exception, "feature_layer must be a layer of UNet"):
        run(NAME, "query", query_settings | {"feature_layer": "bottleneck"})
