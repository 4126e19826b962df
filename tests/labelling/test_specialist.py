"""The specialist predicts what its bundle's inference does, with the newest weights."""

import json
import os
import shutil

import numpy as np
import pytest
import torch

from common.cohort.volumes import read_voxels
from common.commands.bundles import run_workflow
from common.labelling import Specialist
from common.labelling.specialist import class_names
from common.networks import VNet
from common.prepare import write_phantom
from tests.bundles.workflows import ROOT
from tests.samples import save

BUNDLES = ("fmabs_la", "fmabs_brats", "sfr_retrain", "sfr_stitch_finetune", "assft_adapt")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two phantoms, in different orientations."""
    cohort = write_phantom(tmp_path_factory.mktemp("cohort"), scans=3, size=(32, 24, 32))
    folder = tmp_path_factory.mktemp("images")
    return [shutil.copy(scan.image, folder) for scan in cohort.scans[:2]]


@pytest.mark.parametrize("name", BUNDLES)
def test_it_predicts_what_inference_does(name, images, tmp_path):
    bundle = ROOT / "bundles" / name
    specialist = Specialist(bundle, tmp_path / "run", labels=class_names(bundle))
    settings = {"dataset_dir": os.path.dirname(images[0]), "output_dir": str(tmp_path / "run"), "device": "cpu"}
    run_workflow(bundle, ["inference"], settings | {"device": torch.device("cpu")})
    for image in images:
        predicted = specialist.predict(image)
        file = os.path.basename(image).replace(".nii.gz", "_seg.nii.gz")
        expected, opened = read_voxels(tmp_path / "run" / "predictions" / file)
        assert predicted.label.dtype == np.uint8
        np.testing.assert_allclose(predicted.affine, opened.affine, atol=1e-5)
        assert (predicted.label != expected).mean() < 1e-4
        assert predicted.label.any()
        assert torch.allclose(predicted.prediction.probabilities.sum(dim=0), torch.tensor(1.0), atol=1e-4)


def one_class_everywhere(file, value):
    """Writes a V-Net that gives every voxel the same class, and its settings."""
    network = VNet(1, 2, width=8)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.tensor([0.0, 1.0]) if value else torch.tensor([1.0, 0.0]))
    torch.save(network.state_dict(), file)
    settings = {"channels": 1, "num_classes": 2, "width": 8, "spacing": None, "roi_size": [32, 32, 32]}
    file.with_suffix(".json").write_text(json.dumps(settings))


def test_a_new_model_is_used_at_once(images, tmp_path):
    specialist = Specialist(ROOT / "bundles/fmabs_la", tmp_path, labels={1: "left atrium"})
    shipped = specialist.identity
    assert specialist.file == ROOT / "bundles/fmabs_la/models/model.pt"
    for value in (1, 0, 1):
        one_class_everywhere(tmp_path / "model.pt", value)
        assert set(np.unique(specialist.predict(images[0]).label)) == {value}
        assert specialist.file == tmp_path / "model.pt"
        assert specialist.identity != shipped


def test_weights_of_another_network_are_refused(images, tmp_path):
    one_class_everywhere(tmp_path / "model.pt", 1)
    torch.save(VNet(1, 2, width=4).state_dict(), tmp_path / "model.pt")
    specialist = Specialist(ROOT / "bundles/fmabs_la", tmp_path, labels={1: "left atrium"})
    with pytest.raises(ValueError, match="does not fit VNet"):
        specialist.predict(images[0])


def test_a_model_of_other_classes_is_refused(images, tmp_path):
    specialist = Specialist(ROOT / "bundles/fmabs_la", tmp_path, labels={1: "anterior", 2: "posterior"})
    with pytest.raises(ValueError, match="expected a model of 2 classes \\(anterior, posterior\\)"):
        specialist.predict(images[0])


def test_what_is_missing_is_named(images, tmp_path):
    bundle = shutil.copytree(ROOT / "bundles/fmabs_la", tmp_path / "fmabs_la", ignore=lambda *_: ["model.pt"])
    specialist = Specialist(bundle, tmp_path / "run", labels={1: "left atrium"})
    with pytest.raises(FileNotFoundError, match="expected the weights of a trained model"):
        specialist.predict(images[0])


def test_a_broken_image_is_named(tmp_path):
    specialist = Specialist(ROOT / "bundles/fmabs_la", tmp_path, labels={1: "left atrium"})
    flat = save(tmp_path / "flat.nii.gz", np.zeros((6, 7), np.float32))
    with pytest.raises(ValueError, match="flat"):
        specialist.predict(flat)


def test_class_names_are_those_of_the_metadata():
    assert class_names(ROOT / "bundles/fmabs_la") == {1: "left atrium"}
    assert class_names(ROOT / "bundles/fmabs_brats") == {1: "whole tumour"}
