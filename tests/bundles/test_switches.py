"""Settings that are switched on or off are understood as people write them, in every bundle and stage."""

import json
import re

import pytest
from fire.parser import DefaultParseValue

from common.settings import read_schema
from tests.bundles.workflows import ROOT, refused, workflow

FILES = sorted((ROOT / "bundles").glob("*/configs/*.json"))
FILES = [path for path in FILES if path.name not in ("metadata.json", "settings.json")]
CONTENTS = {(path.parents[1].name, path.stem): json.loads(path.read_text()) for path in FILES}
STAGES = [key for key, content in CONTENTS.items() if "bundle_root" in content]
"""Configs that are read alone; the others are read after a training's."""


READ_BY_ITS_TRANSFORM = {"nonzero"}
"""Told by the model in evaluation and inference, where it is an expression: ``NormalizeScand`` reads it as a switch."""


def on_or_off(content):
    return {key for key, value in content.items() if isinstance(value, bool)}


def switches(bundle, stage):
    schema = read_schema(ROOT / "bundles" / bundle / "configs", stage)
    return {name for name, setting in schema.items() if setting.type == "yes_or_no"}


SWITCHES = [
    (*key, it) for key in STAGES for it in sorted((on_or_off(CONTENTS[key]) | switches(*key)) - READ_BY_ITS_TRANSFORM)
]


@pytest.mark.parametrize(("bundle", "name"), CONTENTS)
def test_every_such_setting_is_a_switch_and_is_read_as_one(bundle, name):
    content = CONTENTS[bundle, name]
    known = switches(bundle, name if (bundle, name) in STAGES else "train")
    assert on_or_off(content) <= known
    text = json.dumps(content)
    assert not [key for key in known - READ_BY_ITS_TRANSFORM if re.search(rf"@{key}\b", text)]
    assert set(re.findall(r"@switches\['(\w+)'\]", text)) <= known
    if known - READ_BY_ITS_TRANSFORM and (bundle, name) in STAGES:
        assert f"settings.switches(@bundle_root + '/configs/{name}.json')" in content["switches"]


def resolved(bundle, stage, name, given):
    return workflow(bundle, stage, {name: given}).parser.get_parsed_content("switches")[name]


@pytest.mark.parametrize(("bundle", "stage", "name"), SWITCHES)
def test_a_switch_is_understood_from_files_and_from_the_command_line(bundle, stage, name):
    for word in ("true", "True", "1", "false", "False", "0"):
        expected = word in ("true", "True", "1")
        for given in (word, DefaultParseValue(word), json.loads(word.lower())):
            assert resolved(bundle, stage, name, given) is expected, given


@pytest.mark.parametrize(("bundle", "stage", "name"), SWITCHES)
@pytest.mark.parametrize("given", ["yes", "off", "", 2, [True]])
def test_anything_else_is_refused_by_name(bundle, stage, name, given):
    with refused(ValueError, f"{name} must be True or False (or 1 or 0), got {given!r}"):
        resolved(bundle, stage, name, given)
