"""Metadata: what the model zoo requires, and that the network does what they say."""

import json

import pytest
from monai.bundle import verify_net_in_out

import common
from tests.bundles.workflows import ROOT

REQUIRED = {
    "schema",
    "version",
    "changelog",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "required_packages_version",
    "task",
    "description",
    "authors",
    "copyright",
    "network_data_format",
}
BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir() if path.is_dir())


@pytest.mark.parametrize("bundle", BUNDLES)
def test_required_keys(bundle):
    metadata = json.loads((ROOT / "bundles" / bundle / "configs" / "metadata.json").read_text())
    assert metadata.keys() >= REQUIRED
    assert metadata["version"] == common.__version__
    assert metadata["version"] in metadata["changelog"]
    assert "common" not in metadata["required_packages_version"]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_versions_are_those_that_the_tests_run_with(bundle):
    metadata = json.loads((ROOT / "bundles" / bundle / "configs" / "metadata.json").read_text())
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    assert metadata["monai_version"] == pinned["monai"]
    assert metadata["pytorch_version"] == pinned["torch"]
    assert metadata["numpy_version"] == pinned["numpy"]
    for name, version in metadata["required_packages_version"].items():
        assert version == pinned[name], name


@pytest.mark.parametrize("bundle", BUNDLES)
def test_network_does_what_the_metadata_say(bundle):
    configs = ROOT / "bundles" / bundle / "configs"
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.json"),
        n=1,
        any=16,
        device="cpu",
    )


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize(
    "name",
    [
        "LICENSE",
        "configs/evaluate.json",
        "configs/inference.json",
        "configs/logging.conf",
        "configs/multi_gpu_train.json",
        "configs/train.json",
        "docs/README.md",
        "docs/data_license.txt",
    ],
)
def test_has_the_files_of_a_bundle(bundle, name):
    assert (ROOT / "bundles" / bundle / name).is_file()
