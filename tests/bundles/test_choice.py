"""Whether the evaluated weights were chosen, with the bundles' own configs."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from common.cohort import Cohort
from common.files import read_json, write_json
from tests.bundles.test_configs import BUNDLES, config
from tests.bundles.workflows import run


@pytest.fixture
def settings(small_settings):
    """Training alone: one scan, no round."""
    return {**small_settings, "max_iterations": 4, "val_interval": 2, "budget": 1}


def evaluated(settings, split):
    names = ("dataset_dir", "output_dir", "device", "roi_size", "stride", "precision", "network_def#width")
    run("fmabs_la", "evaluate", {**{name: settings[name] for name in names}, "split": split})
    return read_json(Path(settings["output_dir"]) / "evaluation" / "metrics.json")


def test_the_split_on_which_the_checkpoint_was_chosen_says_so(settings):
    run("fmabs_la", "train", settings)
    assert evaluated(settings, "validation")["checkpoint_chosen_on_this_split"] is True
    metrics = evaluated(settings, "test")
    assert metrics["split"] == "test" and metrics["checkpoint_chosen_on_this_split"] is False


def test_a_single_validation_chooses_nothing(settings):
    settings = {**settings, "val_interval": 4}
    run("fmabs_la", "train", settings)
    assert evaluated(settings, "validation")["checkpoint_chosen_on_this_split"] is False


def test_without_validation_scans_the_last_weights_are_kept(settings, tmp_path):
    """As after `prepare la --validation 0`: 80 cases for training, 20 for testing."""
    folder = tmp_path / "cohort"
    shutil.copytree(settings["dataset_dir"], folder)
    content = read_json(folder / "datalist.json")
    content["training"] += content.pop("validation")
    write_json(folder / "datalist.json", content)
    assert not Cohort.open(folder).validation
    settings = {**settings, "dataset_dir": str(folder)}
    run("fmabs_la", "train", settings)

    output = Path(settings["output_dir"])
    checkpoint = torch.load(output / "checkpoint.pt", weights_only=True)
    kept = torch.load(output / "model.pt", weights_only=True)
    assert checkpoint["iteration"] == 4 and checkpoint["objects"]["best_model"]["best"] is None
    teacher = checkpoint["objects"]["teacher"]
    assert kept.keys() == teacher.keys() and all(torch.equal(kept[name], teacher[name]) for name in kept)
    metrics = evaluated(settings, "test")
    assert metrics["scans"] == len(content["test"]) and metrics["checkpoint_chosen_on_this_split"] is False


@pytest.mark.parametrize("bundle", BUNDLES)
def test_every_evaluation_looks_into_it(bundle):
    (handler,) = (
        each for each in config(bundle, "evaluate")["validate#handlers"] if each["_target_"].endswith("ScanMetrics")
    )
    assert handler["split"] == "@split" and handler["checkpoint"] == "@checkpoint"
    train = json.dumps(config(bundle, "train"))
    assert "@output_dir + '/model.pt'" in train and "@output_dir + '/log.jsonl'" in train
