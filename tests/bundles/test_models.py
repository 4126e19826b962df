"""The models of runs, and those that come with the bundles."""

import json
from pathlib import Path

import nibabel as nib
import pytest
import torch

from common.cohort import Cohort
from common.networks import VNet, load_pretrained, network_sizes
from tests.bundles.test_fmabs import BUNDLES
from tests.bundles.workflows import ROOT, refused, workflow

ALL = sorted(path.name for path in (ROOT / "bundles").iterdir() if path.is_dir())
LARGEST = 25_000_000
"""Bytes of a file in the model zoo."""


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_model_tells_how_it_is_used(bundle, small_settings, cohort_dir):
    flow = workflow(bundle, "train", {**small_settings, "largest_volumes": 1})
    flow.initialize()
    flow.parser.get_parsed_content("validate#best_model").save()
    told = json.loads((Path(small_settings["output_dir"]) / "model.json").read_text())
    image = nib.load(Cohort.open(cohort_dir).training[0].image)
    assert told == {
        "channels": 1,
        "num_classes": 2,
        "width": small_settings["network_def#width"],
        "spacing": pytest.approx(image.header.get_zooms()),
        "roi_size": small_settings["roi_size"],
        "window": None,
        "nonzero": bundle == "fmabs_brats",
        "largest_volumes": 1,
    }


@pytest.mark.parametrize("bundle", BUNDLES)
def test_student_and_teacher_start_from_initial_weights(bundle, small_settings, tmp_path):
    torch.manual_seed(5)
    given = VNet(1, 2, width=small_settings["network_def#width"]).state_dict()
    torch.save(given, tmp_path / "model.pt")
    flow = workflow(bundle, "train", {**small_settings, "initial_weights": str(tmp_path / "model.pt")})
    flow.initialize()
    for network in ("network", "teacher"):
        found = flow.parser.get_parsed_content(network)
        found = (found.ema_model if network == "teacher" else found).state_dict()
        assert all(torch.equal(found[name], value) for name, value in given.items())
    torch.save(VNet(1, 2, width=4).state_dict(), tmp_path / "model.pt")
    with refused(ValueError, "It seems to be a common.networks.VNet with in_channels 1, out_channels 2, width 4"):
        workflow(bundle, "train", {**small_settings, "initial_weights": str(tmp_path / "model.pt")}).initialize()


@pytest.mark.parametrize("bundle", ALL)
def test_the_model_of_a_bundle_fits_its_inference_without_an_override(bundle, tmp_path):
    file = ROOT / "bundles" / bundle / "models" / "model.pt"
    assert file.stat().st_size < LARGEST
    weights = torch.load(file, weights_only=True)
    assert {it.dtype for it in weights.values() if it.is_floating_point()} == {torch.float16}
    parser = workflow(bundle, "inference", {"output_dir": str(tmp_path), "device": "cpu"}).parser
    parser.parse()
    assert Path(parser.get_parsed_content("checkpoint")).resolve() == file
    network = parser.get_parsed_content("network_def")
    assert load_pretrained(network, file).complete
    told = json.loads(file.with_suffix(".json").read_text())
    assert told.items() >= network_sizes(weights).items()
    for name in ("spacing", "roi_size", "num_classes"):
        assert parser.get_parsed_content(name) == told[name]
    assert len(told["spacing"]) == 3 and all(0.1 < size < 10 for size in told["spacing"])
