"""All stages of ASSFT by one command, at the size of seconds."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import nibabel as nib
import pytest
import torch
from monai.networks.nets import UNet

from common.__main__ import main
from common.annotations import Ledger, LedgerEntry
from common.cohort import Cohort
from common.commands.assft import assft
from common.files import write_json
from common.prepare import write_phantom
from common.report import write_report

UNET = {"spatial_dims": 3, "channels": [4, 8], "strides": [2], "norm": "batch"}
NETWORK = UNET | {"_target_": "UNet", "in_channels": "@channels", "out_channels": "@num_classes"}
PRETRAIN = {"max_iterations": 2, "val_interval": 2, "warm_up": 1, "phantom_scans": 3, "phantom_size": 32}
TRAIN = {
    "max_iterations": 4,
    "val_interval": 4,
    "round_interval": 2,
    "warm_up": 2,
    "encoder": "model.0",
    "roi_size": [32, 32, 32],
    "stride": [32, 32, 32],
    "precision": "fp32",
    "network_def": NETWORK,
}


@pytest.fixture
def cohort(tmp_path):
    return write_phantom(tmp_path / "cohort", scans=5, size=32, seed=0, validation=1, test=1)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(UNet(**UNET, in_channels=1, out_channels=2).state_dict(), path)
    return path


def progress(run):
    path = run / "progress.json"
    return list(json.loads(path.read_text())) if path.is_file() else []


@pytest.mark.slow
def test_all_stages_and_again_nothing(cohort, tmp_path, capsys):
    run, settings = tmp_path / "run", {"budget": 2, "pretrain": PRETRAIN, "train": TRAIN}
    first = assft(cohort.folder, run, **settings)
    assert first["scans"] == 1
    assert progress(run) == ["pretrain", "query", "train", "evaluate"]
    printed = capsys.readouterr().out
    assert "NO PRE-TRAINED MODEL GIVEN" in printed and "NO DATA GIVEN" not in printed
    html = write_report(run).read_text(encoding="utf-8")
    assert "made-up scans" in html and "cohort phantom" in html
    taken = {stage: json.loads((run / f"{stage}_settings.json").read_text()) for stage in progress(run)}
    assert taken["pretrain"]["max_iterations"] == 2 and "warm_up" not in taken["query"]
    for stage in taken.values():
        assert all(stage[name] == TRAIN[name] for name in ("roi_size", "stride", "precision", "network_def"))
    assert taken["query"]["pretrained"] == taken["train"]["pretrained"] == str(run / "pretrained.pt")
    assert len(Ledger(run).entries) == 2
    assert [selection.iteration for selection in Ledger(run).trust_entries] == [2]

    assert assft(cohort.folder, run, **settings) == first
    assert capsys.readouterr().out.count("done before") == 4

    with pytest.raises(ValueError, match="prepared before with budget 2, not 1"):
        assft(cohort.folder, run, **settings | {"budget": 1})


@pytest.mark.slow
def test_waits_for_people_and_goes_on(cohort, weights, tmp_path, capsys):
    run = tmp_path / "run"
    write_json(tmp_path / "train.json", TRAIN)
    words = ["assft", "--dataset_dir", cohort.folder, "--output_dir", run, "--pretrained", weights, "--budget", 1]
    words += ["--annotator", "folder", "--train", tmp_path / "train.json", "--selective", False]
    words = [str(word) for word in words]
    main(words)
    request = json.loads((run / "requests" / "round_00.json").read_text())
    (asked,) = request["scans"]
    printed = capsys.readouterr().out
    assert "waits for 1 annotation. Please draw all of" in printed and asked["draw_in"] in printed
    assert progress(run) == []

    nib.save(nib.load(Cohort.open(cohort.folder).scan(asked["scan"]).label), asked["draw_in"])
    main(words)
    assert "NO PRE-TRAINED MODEL" not in capsys.readouterr().out
    assert progress(run) == ["query", "train", "evaluate"]
    assert [(entry.scan, entry.annotator) for entry in Ledger(run).entries] == [(asked["scan"], "folder")]
    assert not Ledger(run).trust_entries and not (run / "pseudo_label").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": "asft"}, r"query must be one of assft, .*, got 'asft'"),
        ({"train": {"max_iteration": 3}}, r"assft_adapt/.*no setting for max_iteration \(did you mean max_iterations"),
        ({"train": {"budget": 3, "seed": 1}}, r"train\.json must not have budget, seed, which the command itself sets"),
        ({"querying": {"query": "he"}}, r"query\.json must not have query, which the command itself sets"),
        ({"annotator": "nobody"}, "annotator must be one of oracle, folder, got 'nobody'"),
        ({"pretrained": "nowhere.pt"}, r"nowhere\.pt: expected the weights"),
        ({"pretrain": PRETRAIN}, "pretrain must be empty where pretrained is given, got settings of max_iterations"),
    ],
)
def test_senseless_settings_are_refused_at_once(changes, message, cohort, weights, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        assft(cohort.folder, tmp_path / "run", **{"pretrained": weights} | changes)
    assert not (tmp_path / "run").exists()


def test_a_budget_beyond_the_scans_starts_nothing(cohort, tmp_path):
    with pytest.raises(ValueError, match=r"budget must lie in 1\.\.3, the training scans, got 4"):
        assft(cohort.folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_cohort_is_looked_at_before_any_stage(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr("common.commands.assft.run_stage", no_stage)
    cohort.training[1].image.write_bytes(cohort.training[1].image.read_bytes()[:2000])
    with pytest.raises(ValueError, match="truncated or damaged"):
        assft(cohort.folder, tmp_path / "run", budget=1)


def no_stage(*arguments, **settings):
    raise RuntimeError("a stage would run")


@pytest.mark.parametrize(
    ("begun", "free"),
    [
        ([], "dataset_dir seed pretrain budget query train selective"),
        (["source/checkpoint.pt"], "budget query train selective"),
        (["source/checkpoint.pt", "ledger.json"], "train selective"),
        (["ledger.json", "checkpoint.pt"], ""),
    ],
)
def test_settings_of_stages_that_have_not_begun_can_be_corrected(begun, free, cohort, tmp_path, monkeypatch):
    monkeypatch.setattr("common.commands.assft.run_stage", no_stage)
    run = tmp_path / "run"
    other = write_phantom(tmp_path / "other", scans=4, size=32, seed=1, validation=0, test=0)
    first = {"dataset_dir": cohort.folder, "budget": 1, "train": TRAIN, "pretrain": PRETRAIN}
    with pytest.raises(RuntimeError, match="a stage would run"):
        assft(output_dir=run, **first)
    assert not (run / "notes.json").exists()  # of a network that made-up scans have made
    for file in begun:
        (run / file).parent.mkdir(exist_ok=True)
        if file == "ledger.json":
            Ledger(run).add([LedgerEntry("phantom_000", 0, 0, "assft", 0.5, None, 8, "oracle")])
        else:
            (run / file).touch()
    changes = {"dataset_dir": other.folder, "budget": 2, "train": TRAIN | {"encoder": None}, "seed": 3}
    changes |= {"query": "random", "selective": False, "pretrain": PRETRAIN | {"max_iterations": 3}}
    for name, value in changes.items():
        error = RuntimeError if name in free.split() else ValueError
        with pytest.raises(error, match=f"prepared before with {name}" if error is ValueError else "would run"):
            assft(output_dir=run, **first | {name: value})
        if error is RuntimeError:
            assert name in ("dataset_dir",) or json.loads((run / "prepared.json").read_text())[name] == value
    with pytest.raises(RuntimeError, match="a stage would run"):
        assft(output_dir=run, **first)


@pytest.mark.slow
def test_what_a_stage_warns_of_reaches_the_reader(cohort, tmp_path, capsys):
    network = UNet(**UNET, in_channels=1, out_channels=2)
    for weights in network.parameters():
        weights.data.zero_()
    torch.save(network.state_dict(), tmp_path / "nothing.pt")
    assft(cohort.folder, tmp_path / "run", pretrained=tmp_path / "nothing.pt", budget=1, train=TRAIN)
    printed = capsys.readouterr().out
    assert "NO FOREGROUND IS PREDICTED in any of 3 scans" in printed and "Not all config files" not in printed


def test_files_for_pre_training_are_those_of_the_folder_one_is_in(cohort, tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr("common.commands.assft.run_stage", lambda *stage, **more: given.update(stage[4]) or no_stage())
    monkeypatch.chdir(cohort.folder.parent)
    pretrain = {"dataset_dir": cohort.folder.name, "encoder_weights": "swin_unetr_ssl"}
    with pytest.raises(RuntimeError):
        assft(cohort.folder, tmp_path / "run", budget=1, pretrain=pretrain)
    assert given["dataset_dir"] == str(cohort.folder.resolve()) and given["encoder_weights"] == "swin_unetr_ssl"


def test_a_killed_command_takes_its_bundle_with_it(tmp_path):
    run = tmp_path / "run"
    long = tmp_path / "pretrain.json"
    write_json(long, {"max_iterations": 10**6, "phantom_scans": 3, "phantom_size": 32})
    command = [sys.executable, "-m", "common", "assft", "--output_dir", str(run), "--pretrain", str(long)]
    whole = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        output, limit = run / "output.txt", time.monotonic() + 120
        while not (output.exists() and output.stat().st_size) and whole.poll() is None and time.monotonic() < limit:
            time.sleep(0.1)
        assert output.stat().st_size > 0
        whole.terminate()
        assert whole.wait(60) == 128 + signal.SIGTERM
        with pytest.raises(ProcessLookupError):  # nobody is left of its session
            os.killpg(whole.pid, 0)
        assert progress(run) == []
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(whole.pid, signal.SIGKILL)
        whole.wait()
