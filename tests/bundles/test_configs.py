"""What the bundles' configs promise to those who read and change them."""

import json

import pytest

from common.settings import read_schema
from tests.bundles.workflows import ROOT

BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir() if path.is_dir())
TRAININGS = [(bundle, "train") for bundle in BUNDLES] + [("assft_adapt", "pretrain")]


def config(bundle, name):
    return json.loads((ROOT / "bundles" / bundle / "configs" / f"{name}.json").read_text())


@pytest.mark.parametrize(("bundle", "name"), TRAININGS)
def test_a_resumed_run_must_agree_on_all_settings_that_change_the_training(bundle, name):
    """What may change is listed in the schema, and here."""
    assert config(bundle, name)["resume_settings"] == f"$@common.settings.agreed(@bundle_root + '/configs/{name}.json')"
    schema = read_schema(ROOT / "bundles" / bundle / "configs", name)
    expected = {"dataset_dir", "output_dir", "device", "num_workers", "checkpoint_interval"}
    if bundle == "sfr_stitch_finetune":
        expected |= {"save_memory"}
    if name == "pretrain":
        expected |= {"phantom_scans", "phantom_size"}  # the phantoms' folder knows its own settings
    elif not bundle.startswith("sfr"):
        expected |= {"annotator"}  # people may continue what was begun with an oracle
    assert {it for it, setting in schema.items() if setting.may_change_on_resume} == expected


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_config_for_several_processes_repeats_nothing(bundle):
    training, several = config(bundle, "train"), config(bundle, "multi_gpu_train")
    assert training["processes"] is None and training["initialize"][1] == "@processes"
    assert several.keys().isdisjoint({"initialize", "run"})
    assert not [key for key, value in several.items() if training.get(key) == value]


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_config_of_evaluation_holds_differences_alone(bundle):
    training = config(bundle, "train")

    def nested(key):
        found = training
        for part in key.split("#"):
            found = found.get(part) if isinstance(found, dict) else None
        return found

    for key, value in config(bundle, "evaluate").items():
        assert key.startswith("+") or nested(key) != value, key


@pytest.mark.parametrize("bundle", BUNDLES)
def test_lines_can_be_read(bundle):
    for path in (ROOT / "bundles" / bundle / "configs").glob("*.json"):
        if path.name not in ("metadata.json", "settings.json"):
            long = [line for line in path.read_text().splitlines() if len(line) > 165]
            assert not long, path


@pytest.mark.parametrize("bundle", BUNDLES)
def test_runs_leave_the_bundles_own_folder_alone(bundle):
    for path in (ROOT / "bundles" / bundle / "configs").glob("*.json"):
        content = json.loads(path.read_text())
        if isinstance(content, list):
            continue  # the schema
        assert content.get("output_dir", f"runs/{bundle}") == f"runs/{bundle}", path
