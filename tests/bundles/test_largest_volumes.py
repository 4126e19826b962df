"""Predictions keep the largest components of each class, in inference as in evaluation."""

import csv

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.networks.nets import UNet
from scipy import ndimage

from common.cohort import Cohort
from common.networks import VNet
from tests.bundles.adaptation import NETWORK
from tests.bundles.workflows import run

SMALL = {"device": "cpu", "roi_size": [32, 32, 32], "stride": [32, 32, 32], "precision": "fp32"}
VNETS = ["fmabs_la", "fmabs_brats", "sfr_retrain"]


@pytest.mark.parametrize("bundle", [*VNETS, "assft_adapt"])
def test_largest_components_alone_are_predicted_and_scored(bundle, cohort_dir, tmp_path):
    if bundle == "assft_adapt":
        torch.manual_seed(0)
        network, sizes = UNet(3, 1, 2, channels=[4, 8], strides=[2], norm="batch"), {"network_def": NETWORK}
        weights = network.state_dict()
    else:
        torch.manual_seed(6)
        network, sizes = VNet(1, 2, width=2), {"network_def#width": 2}
        weights = balanced(network, Cohort.open(cohort_dir).test[0])
    torch.save(weights, tmp_path / "untrained.pt")
    kept = {**SMALL, **sizes, "dataset_dir": str(cohort_dir), "checkpoint": str(tmp_path / "untrained.pt")}
    for name, largest_volumes in (("all", None), ("two", 2)):
        settings = {**kept, "largest_volumes": largest_volumes, "output_dir": str(tmp_path / "run")}
        run(bundle, "inference", {**settings, "prediction_dir": str(tmp_path / name)})
        run(bundle, "evaluate", {**settings, "split": "test", "evaluation_dir": str(tmp_path / name)})
    dice = {row["scan"]: float(row["dice"]) for row in csv.DictReader((tmp_path / "two" / "metrics.csv").open())}
    for scan in Cohort.open(cohort_dir).test:
        everything, two = (
            nib.load(tmp_path / name / f"{scan.id}_seg.nii.gz").get_fdata() == 1 for name in ("all", "two")
        )
        components, number = ndimage.label(everything, np.ones((3, 3, 3)))
        volumes = np.bincount(components.flat)[1:]
        assert number > 2 and np.sort(volumes)[-2] > np.sort(volumes)[-3]
        np.testing.assert_array_equal(two, np.isin(components, 1 + np.argsort(volumes)[-2:]))
        label = nib.load(scan.label).get_fdata() == 1
        assert dice[scan.id] == pytest.approx(2 * (two & label).sum() / (two.sum() + label.sum()), abs=1e-6)


def balanced(network, scan):
    """Weights of a network with which half of a scan is foreground, in many pieces with the seed above."""
    image = torch.as_tensor(nib.load(scan.image).get_fdata(), dtype=torch.float32)
    with torch.no_grad():
        background, foreground = network.eval()(((image - image.mean()) / image.std())[None, None])[0]
    *_, last = weights = network.state_dict()
    weights[last][1] += (background - foreground).median()
    return weights
