"""Options of ``python -m common`` that are refused, and that nothing has been written."""

import json
import re

import pytest

from common.__main__ import main

SEED = "must be a whole number from 0 to 4294967295"
OUT = ["--output_dir", "out"]
CASES = [
    (["sfr", *OUT, "--share", "2"], "--share: must be a number above 0 and of at most 1, got 2."),
    (["sfr", *OUT, "--share", "0"], "--share: must be a number above 0 and of at most 1, got 0."),
    (["sfr", *OUT, "--share", "nan"], "--share: must be a number above 0 and of at most 1, got 'nan'."),
    (["sfr", *OUT, "--threshold", "7"], "--threshold: must be a number from 0 to 1, got 7."),
    (["sfr", *OUT, "--threshold", "-0.5"], "--threshold: must be a number from 0 to 1, got -0.5."),
    (["sfr", *OUT, "--seed", "-1"], f"--seed: {SEED}, got -1."),
    (["sfr", *OUT, "--labelled", "0"], "--labelled: must be a whole number of at least 1, got 0."),
    (["sfr", *OUT, "--labelled", "1.5"], "--labelled: must be a whole number of at least 1, got 1.5."),
    (["sfr", *OUT, "--sam", "huge"], "sam must be one of small, mobile_sam"),
    (["sfr", "--output_dir", ""], "--output_dir: must be a path of a folder, got ''."),
    (["sfr", *OUT, "--dataset_dir", ""], "--dataset_dir: must be a path, got ''."),
    (["sfr", *OUT, "--dataset_dir", "nowhere"], "nowhere: expected a cohort's folder, found none."),
    (["sfr", *OUT, "--finetune", "nowhere.json"], "nowhere.json: no such file."),
    (["assft", *OUT, "--budget", "0"], "--budget: must be a whole number of at least 1, got 0."),
    (["assft", *OUT, "--budget", "2.5"], "--budget: must be a whole number of at least 1, got 2.5."),
    (["assft", *OUT, "--seed", "-1"], f"--seed: {SEED}, got -1."),
    (["assft", *OUT, "--query", "best"], "query must be one of assft, her"),
    (["assft", *OUT, "--annotator", "me"], "annotator must be one of oracle, folder, got 'me'."),
    (["assft", *OUT, "--selective", "no way"], '--selective: unable to convert "no way" into bool'),
    (["assft", *OUT, "--pretrained", "nowhere.pt"], "nowhere.pt: expected the weights of a pre-trained network"),
    (["assft", "--output_dir", " "], "--output_dir: must be a path of a folder, got ' '."),
    (["demo", "--output_dir", "/dev/null/x"], "--output_dir: must be a path of a folder, got '/dev/null/x'."),
    (["phantom", "--target", "x" * 300], "--target: must be a path of a folder, got 'xxx"),
    (["demo", "--output_dir", ""], "--output_dir: must be a path of a folder, got ''."),
    (["demo", *OUT, "--seed", "-3"], f"--seed: {SEED}, got -3."),
    (["demo", *OUT, "--seed", "x"], f"--seed: {SEED}, got 'x'."),
    (["phantom", "--target", ""], "--target: must be a path of a folder, got ''."),
    (["phantom", "--target", "out", "--scans", "0"], "--scans: must be a whole number of at least 1, got 0."),
    (["phantom", "--target", "out", "--size", "8"], "--size: must be one whole number of at least 16, or three"),
    (["phantom", "--target", "out", "--size", "[64,64]"], "--size: must be one whole number of at least 16, or three"),
    (["phantom", "--target", "out", "--validation", "-1"], "--validation: must be a whole number of at least 0"),
    (["phantom", "--target", "out", "--test", "99"], "scans must leave one for training"),
    (["phantom", "--target", "out", "--domain", "moon"], "domain must be one of"),
    (["prepare", "la", "--source", "", "--target", "out"], "--source: must be a path, got ''."),
    (["prepare", "la", "--source", "nowhere", "--target", "out"], "train.list: no such file"),
    (["prepare", "la", "x", "out", "--spacing", "0"], "--spacing: must be a number above 0, or three as in"),
    (["prepare", "brats", "x", "out", "--spacing", "-1"], "--spacing: must be a number above 0, or three as in"),
    (["prepare", "brats", "x", "out", "--clip", "0"], "--clip: must be two numbers from 0 to 100"),
    (["prepare", "brats", "x", "out", "--clip", "99,1"], "none smaller than the one before"),
    (["prepare", "brats", "x", "out", "--split", "250,25"], "--split: must be three whole numbers of at least 0"),
    (["prepare", "folder", "nowhere", "out"], "nowhere: no such folder."),
    (["prepare", "folder", "x", "out", "--spacing", "inf"], "--spacing: must be a number above 0, or three as in"),
    (["prepare", "folder", "x", "out", "--test", "1.0"], "--test: must be a whole number of at least 0, got 1.0."),
    (["prepare", "folder", "x", "out", "--classes", "liver=2"], "classes must be names such as liver,spleen or"),
    (["prepare", "folder", "x", "out", "--skip_bad", "maybe"], '--skip_bad: unable to convert "maybe" into bool'),
    (["prepare", "h5", "x", "out", "--voxel", "1,1"], "--voxel: must be three numbers above 0"),
    (["prepare", "h5", "nowhere", "out", "--voxel", "1,1,1"], "nowhere: no such folder."),
    (["prepare", "decathlon", "nowhere", "out"], "dataset.json: no such file."),
    (["prepare", "decathlon", "x", "out", "--split", "1,2"], "--split: must be three whole numbers of at least 0"),
    (["prepare", "nnunet", "nowhere", "out"], "dataset.json: no such file."),
    (["prepare", "nnunet", "x", "out", "--validation", "-1"], "--validation: must be a whole number of at least 0"),
    (["plan", "--dataset_dir", ""], "--dataset_dir: must be a path, got ''."),
    (["plan", "nowhere", "--memory_gb", "0"], "--memory_gb: must be a number above 0, got 0."),
    (["plan", "nowhere", "--annotation", "dots"], "--annotation: must be one of slices, dense, got 'dots'."),
    (["plan", "nowhere", "--modality", "pet"], "--modality: must be one of ct, mr, other, got 'pet'."),
    (["plan", "nowhere"], "nowhere: expected a cohort's folder, found none."),
    (["export", "nnunet", "nowhere", "out"], "nowhere: expected a cohort's folder, found none."),
    (["report", "--output_dir", ""], "--output_dir: must be a path of a folder, got ''."),
    (["report", "--output_dir", "nowhere"], "nowhere"),
    (["pack", "all", "--output_dir", ""], "--output_dir: must be a path of a folder, got ''."),
    (["release", "--output_dir", ""], "--output_dir: must be a path of a folder, got ''."),
    (["fetch_bundle", "nowhere.zip", "--bundle_dir", ""], "--bundle_dir: must be a path of a folder, got ''."),
    (["fetch_bundle", "nowhere.zip"], "nowhere.zip"),
    (["weights", "path", "nothing"], "nothing"),
    (["weights", "path", ""], "must be a text, got ''."),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), CASES, ids=lambda value: " ".join(value) if type(value) is list else "")
def test_an_option_is_refused_without_a_traceback(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(words)
    printed = capsys.readouterr().err if caught.value.code == 2 else str(caught.value.code)
    assert message in " ".join(printed.split()) and printed.startswith("Error: ")
    assert "Traceback" not in printed and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "option", "settings", "message"),
    [
        (
            "sfr",
            "--retrain",
            {"network_def#widht": 8},
            "sfr_retrain/configs/train.json has no setting for network_def#widht",
        ),
        ("sfr", "--retrain", {"network_def": {"width": 8}, "widht": 8}, "has no setting for widht"),
        ("sfr", "--finetune", {"network_def#sam#lora_rnak": 2}, "network_def#sam#lora_rnak (did you mean lora_rank?)"),
        ("assft", "--train", {"train#pool#featurs": True}, "train#pool#featurs (did you mean features?)"),
        ("assft", "--querying", {"pool#foldr": "x"}, "assft_adapt/configs/query.json has no setting for pool#foldr"),
    ],
)
def test_a_misspelt_setting_within_others_is_refused(command, option, settings, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(SystemExit, match=re.escape(message)):
        main([command, *OUT, option, "settings.json"])
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


@pytest.mark.parametrize("way", ["word", "variable"])
def test_a_traceback_if_it_is_asked_for(way, tmp_path, monkeypatch):
    words = ["sfr", "--output_dir", str(tmp_path / "out"), "--dataset_dir", str(tmp_path / "nowhere")]
    monkeypatch.setenv("COMMON_DEBUG", "0" if way == "word" else "1")
    with pytest.raises(FileNotFoundError, match="expected a cohort's folder"):
        main([*words, "--debug"] if way == "word" else words)
