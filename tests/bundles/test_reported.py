"""The settings of reported results, whatever the bundles' defaults are."""

import json

import pytest

from tests.bundles.workflows import ROOT, workflow

STAGES = {"finetune": ("sfr_stitch_finetune", "train"), "retrain": ("sfr_retrain", "train")}
WINDOWS = {"roi_size": [48, 48, 32], "stride": [24, 24, 16]}
REPORTED = {
    "finetune": WINDOWS
    | {"sam": "small", "lora_rank": 4, "image_size": 288, "enlarge": 1, "max_iterations": 500, "val_interval": 500}
    | {"batch_labelled": 2, "batch_unlabelled": 0, "learning_rate": 0.0003}
    | {"augmentation": False, "turn": False, "curves": 0.8, "inverted_curves": 0.0, "rescale_curves": True},
    "retrain": WINDOWS
    | {"max_iterations": 800, "ramp_up": 800, "val_interval": 800, "batch_labelled": 2, "batch_unlabelled": 2}
    | {"semi_supervised": "mean_teacher", "pseudo_labels": "precomputed", "missing_pseudo_labels": "refuse"}
    | {"augmentation": False, "evaluated": "teacher", "learning_rate": 0.01, "channels": 1},
}


def settings(name):
    return json.loads((ROOT / "benchmarks" / "sfr" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", REPORTED)
def test_results_of_sfr_can_be_made_again(name):
    found = workflow(*STAGES[name], settings(name) | {"device": "cpu"}).parser.get_parsed_content("resume_settings")
    assert {key: found[key] for key in REPORTED[name]} == REPORTED[name]


def test_pseudo_labels_of_reported_results_can_be_made_again():
    parser = workflow("sfr_stitch_finetune", "pseudo_label", settings("pseudo_label") | {"device": "cpu"}).parser
    expected = {"views": 1, "generalist": "embedded", "fusion": "mean", "largest_volumes": 1}
    assert {key: parser.get_parsed_content(key) for key in expected} == expected
    assert parser.get_parsed_content("switches") == {"refine": True, "abstain": True, "nonzero": False}
