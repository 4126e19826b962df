"""Plans as files: what MONAI reads of them, and when they are replaced."""

import os

import pytest
from monai.bundle import ConfigParser

from common.files import read_json, write_json
from common.plan import check_target, make_plan, plan_text, write_plan
from tests.bundles.workflows import ROOT
from tests.plan.made_up import CPU, GPU, fingerprint, recipe
from tests.samples import states


@pytest.fixture
def plan():
    return make_plan(fingerprint(), recipe(), GPU)


def test_monai_reads_the_settings_and_nothing_else(plan, tmp_path):
    write_plan(tmp_path / "plan.json", plan)
    parser = ConfigParser()
    parser.read_config([str(ROOT / "bundles/fmabs_la/configs/train.json"), str(tmp_path / "plan.json")])
    assert {name: parser[name] for name in plan.settings} == plan.settings
    content = read_json(tmp_path / "plan.json")
    notes = content.pop("_desc_")
    assert content == plan.settings
    assert list(notes["decisions"]) == [decision.name for decision in plan.decisions]
    assert notes["decisions"]["patch"].startswith("128 x 96 x 64 voxels: Wanted: 128 x 96 x 64")


def test_a_setting_has_a_line(plan, tmp_path):
    write_plan(tmp_path / "plan.json", plan)
    lines = (tmp_path / "plan.json").read_text(encoding="ascii").splitlines()
    assert '    "roi_size": [128, 96, 64],' in lines


def test_a_plan_that_nobody_changed_is_replaced(plan, tmp_path):
    file = tmp_path / "plan.json"
    write_plan(file, plan)
    write_plan(file, make_plan(fingerprint(), recipe(), CPU))
    assert read_json(file)["network_def#width"] == 8


@pytest.mark.parametrize("how", ["changed", "added", "other", "broken", "list"])
def test_what_a_person_wrote_is_kept(how, plan, tmp_path):
    file = tmp_path / "plan.json"
    write_plan(file, plan)
    content = read_json(file)
    if how == "broken":
        file.write_text("{")
    else:
        changed = {
            "changed": content | {"budget": 3},
            "added": content | {"seed": 3},
            "other": {"seed": 3},
            "list": [1],
        }
        write_json(file, changed[how])
    before = file.read_text()
    with pytest.raises(ValueError, match="changed by hand or comes from elsewhere; give --overwrite True"):
        write_plan(file, plan)
    assert file.read_text() == before
    write_plan(file, plan, overwrite=True)
    assert read_json(file)["budget"] == 20


def test_folders_that_do_not_take_a_plan(plan, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="expected the folder that the plan is written to, found none"):
        check_target(tmp_path / "nowhere" / "plan.json")
    monkeypatch.setattr(os, "access", lambda *_: False)  # a superuser may write anywhere
    with pytest.raises(PermissionError, match="expected a folder that may be written to"):
        write_plan(tmp_path / "plan.json", plan)
    assert states(tmp_path) == {}


def test_the_text_has_each_decision_and_its_reason(plan):
    text = plan_text(plan)
    for decision in plan.decisions:
        assert f"  {decision.name}: {decision.value}\n" in text
    assert max(map(len, text.splitlines())) <= 110
