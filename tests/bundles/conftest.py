"""A small phantom cohort, and the bundle's own configs at its size."""

from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from common.prepare import write_phantom

ROOT = Path(__file__).resolve().parents[2]


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
        "round_interval": 3,
        "budget": 3,
        "initial_share": 0.34,
        "per_round": 1,
        "precision": "fp32",
        "network_def#width": 2,
    }


def workflow(bundle, stage, settings):
    """One of a bundle's workflows, as ``monai.bundle run`` makes it."""
    folder = ROOT / "bundles" / bundle
    return ConfigWorkflow(
        config_file=str(folder / "configs" / f"{stage}.json"),
        workflow_type=stage if stage in ("train", "inference") else "inference",
        logging_file=str(folder / "configs" / "logging.conf"),
        bundle_root=str(folder),
        **settings,
    )


def run(bundle, stage, settings):
    """Initialises and runs a workflow to its end."""
    flow = workflow(bundle, stage, settings)
    flow.initialize()
    flow.run()
    flow.finalize()
    return flow
