"""Another size of patches needs no other setting: what depends on it follows."""

import json

import pytest

from common.commands.bundles import config_files
from tests.bundles.adaptation import NETWORK, SMALL_SOURCE
from tests.bundles.workflows import ROOT, run, workflow

STAGES = [
    ("sfr_stitch_finetune", "train"),
    ("sfr_stitch_finetune", "pseudo_label"),
    ("sfr_stitch_finetune", "evaluate"),
    ("sfr_stitch_finetune", "inference"),
    ("sfr_retrain", "train"),
    ("sfr_retrain", "evaluate"),
    ("sfr_retrain", "inference"),
    ("assft_adapt", "pretrain"),
    ("assft_adapt", "query"),
    ("assft_adapt", "train"),
    ("assft_adapt", "evaluate"),
    ("assft_adapt", "inference"),
]


@pytest.mark.parametrize(("bundle", "stage"), STAGES)
def test_windows_move_by_half_a_patch(bundle, stage):
    parser = workflow(bundle, stage, {"roi_size": [64, 32, 16]}).parser
    fine = (bundle, stage) == ("sfr_retrain", "evaluate")
    assert parser.get_parsed_content("stride") == ([18, 16, 4] if fine else [32, 16, 8])


@pytest.mark.parametrize(
    ("roi_size", "stride"),
    [([112, 112, 80], [18, 18, 4]), ([48, 48, 32], [18, 18, 4]), ([32, 16, 16], [16, 8, 4])],
)
def test_windows_of_the_evaluation_overlap(roi_size, stride):
    parser = workflow("sfr_retrain", "evaluate", {"roi_size": roi_size}).parser
    assert parser.get_parsed_content("stride") == stride


def sizes(content):
    """Every list of three numbers in a config, but for the default size of patches itself and what is 0 by default."""
    if isinstance(content, dict):
        return [found for key, value in content.items() if key != "roi_size" for found in sizes(value)]
    if isinstance(content, list):
        if len(content) == 3 and all(type(it) is int for it in content) and any(content):
            return [content]
        return [found for value in content for found in sizes(value)]
    return []


@pytest.mark.parametrize(("bundle", "stage"), STAGES)
def test_no_other_size_stands_in_a_config(bundle, stage):
    for path in config_files(ROOT / "bundles" / bundle, stage):
        assert sizes(json.loads(path.read_text())) == []


def test_all_stages_of_the_adaptation_take_another_size(cohort_dir, tmp_path):
    shared = {"output_dir": str(tmp_path), "device": "cpu", "precision": "fp32", "roi_size": [32, 16, 16]}
    shared["network_def"] = NETWORK
    target = shared | {"dataset_dir": str(cohort_dir), "budget": 2}
    run("assft_adapt", "pretrain", shared | SMALL_SOURCE)
    run("assft_adapt", "query", target)
    few = {"max_iterations": 4, "val_interval": 2, "first_round": 2, "round_interval": 1, "warm_up": 1}
    run("assft_adapt", "train", target | few | {"encoder": None})
    run("assft_adapt", "evaluate", shared | {"dataset_dir": str(cohort_dir), "split": "test"})
    assert (tmp_path / "evaluation" / "metrics.json").is_file()


def test_retraining_takes_patches_that_are_not_square(cohort_dir, tmp_path):
    shared = {"dataset_dir": str(cohort_dir), "output_dir": str(tmp_path), "device": "cpu", "roi_size": [32, 16, 16]}
    shared |= {"precision": "fp32", "network_def#width": 2}
    run("sfr_retrain", "train", shared | {"labelled": 1, "max_iterations": 2, "val_interval": 2})
    run("sfr_retrain", "evaluate", shared | {"split": "test"})
    assert (tmp_path / "evaluation" / "metrics.json").is_file()
