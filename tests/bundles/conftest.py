"""A small phantom cohort, and the bundle's own configs at its size."""

import pytest

from common.prepare import write_phantom
from tests.bundles.adaptation import NAME, NETWORK, SMALL_SOURCE
from tests.bundles.workflows import run


@pytest.fixture(scope="session")
def cohort_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, scans=8, size=32, seed=0)
    return folder


@pytest.fixture
def small_settings(cohort_dir, tmp_path):
    """Settings with which the method runs in seconds: 8 iterations, a round at 3 and at 6, a narrow V-Net."""
    return {
        "dataset_dir": str(cohort_dir),
        "output_dir": str(tmp_path / "run"),
        "device": "cpu",
        "roi_size": [32, 32, 32],
        "stride": [16, 16, 16],
        "max_iterations": 8,
        "val_interval": 4,
        "query_span": [0.375, 0.75],
        "pseudo_label_span": [0.375, 0.75],
        "pseudo_label_rounds": 2,
        "budget": 3,
        "initial_share": 0.34,
        "per_round": 1,
        "precision": "fp32",
        "network_def#width": 2,
    }


@pytest.fixture
def common_settings(tmp_path):
    return {
        "output_dir": str(tmp_path / "run"),
        "device": "cpu",
        "roi_size": [32, 32, 32],
        "stride": [32, 32, 32],
        "precision": "fp32",
        "network_def": NETWORK,
    }


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory):
    """The first stage's model."""
    folder = tmp_path_factory.mktemp("pretrained")
    settings = {"device": "cpu", "roi_size": [32, 32, 32], "stride": [32, 32, 32], "precision": "fp32"}
    run(NAME, "pretrain", {**settings, **SMALL_SOURCE, "output_dir": str(folder), "network_def": NETWORK})
    return str(folder / "pretrained.pt")


@pytest.fixture
def query_settings(common_settings, cohort_dir, pretrained):
    return {**common_settings, "dataset_dir": str(cohort_dir), "pretrained": pretrained, "budget": 2}


@pytest.fixture
def train_settings(query_settings):
    few = {"max_iterations": 6, "val_interval": 3, "first_round": 2, "round_interval": 2, "warm_up": 2}
    return {**query_settings, **few, "encoder": "model.0"}
