"""The bundles' schemas agree with their configs, with what the code knows, and with their pages."""

import json

import pytest

from common.commands.bundles import check_stage
from common.engines.precision import PRECISIONS
from common.generalists.fusion import FUSIONS
from common.generalists.kinds import EMBEDDED, KINDS
from common.generalists.sam.trainable import SMALL
from common.query.registry import STRATEGIES
from common.settings import read_schema
from common.settings.schema import read_groups
from common.settings.tables import page, write_pages
from tests.bundles.workflows import ROOT, workflow

BUNDLES = sorted(path.parents[1].name for path in (ROOT / "bundles").glob("*/configs/settings.json"))
STAGES = [
    (bundle, path.stem)
    for bundle in BUNDLES
    for path in sorted((ROOT / "bundles" / bundle / "configs").glob("*.json"))
    if path.stem not in ("metadata", "settings", "ours")
]
WORKFLOWS = [stage for stage in STAGES if not stage[1].startswith("multi_gpu")]
INTERNAL = {"imports", "usual_root", "workflows", "bundle_root", "no_common", "code", "common", "switches", "processes"}
INTERNAL |= {"resume_settings", "model", "training", "evaluating", "labelling", "querying", "inference", "finalize"}
INTERNAL |= {"network", "handlers", "initialize", "run", "second_def", "second_network", "evaluated_network"}
INTERNAL |= {"scans", "labelled_scans", "queried", "pretrained_file", "num_classes"}
"""Ids with plain values that are no settings; ``num_classes`` is one in inference alone."""


def configs(bundle):
    return ROOT / "bundles" / bundle / "configs"


def content(bundle, name):
    return json.loads((configs(bundle) / f"{name}.json").read_text())


def schema(bundle, name):
    return read_schema(configs(bundle), name)


@pytest.mark.parametrize(("bundle", "name"), STAGES)
def test_every_setting_is_in_the_schema(bundle, name):
    plain = {key for key, value in content(bundle, name).items() if not isinstance(value, dict) and "#" not in key}
    assert plain - INTERNAL <= schema(bundle, name).keys()


@pytest.mark.parametrize("bundle", BUNDLES)
def test_every_entry_is_a_setting_with_a_meaning(bundle):
    for group in read_groups(configs(bundle)):
        for name, setting in group.settings.items():
            assert setting.files and setting.meaning, name
            assert all(name in content(bundle, file) for file in setting.files), name


@pytest.mark.parametrize(("bundle", "name"), WORKFLOWS)
def test_every_default_is_what_it_may_be(bundle, name, tmp_path):
    parser = workflow(bundle, name, {"output_dir": str(tmp_path), "device": "cpu"}).parser
    for key, setting in schema(bundle, name).items():
        if key in parser and key not in ("labelled", "split", "budget"):  # which ask the cohort or the ledger
            setting.read(parser.get_parsed_content(key))


SAMS = list(KINDS)
WORDS = {
    "precision": PRECISIONS,
    "fusion": FUSIONS,
    "generalist": [EMBEDDED, *SAMS],
    "sam": [SMALL, *SAMS],
}


@pytest.mark.parametrize(("bundle", "name"), WORKFLOWS)
def test_words_are_those_that_the_code_knows(bundle, name):
    found = schema(bundle, name)
    for key in WORDS.keys() & found.keys():
        assert set(found[key].values) == set(WORDS[key]), key
    if "query" in found:
        in_rounds = bundle.startswith("fmabs")
        known = {it for it, kind in STRATEGIES.items() if not (in_rounds and kind.needs_adaptation)}
        assert set(found["query"].values) == known


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_page_has_the_table_of_the_schema(bundle):
    path = ROOT / "bundles" / bundle / "docs" / "README.md"
    assert path.read_text() == page(path.parents[1]), "write it anew: python -m common.settings"


def test_tables_are_written_where_they_differ(tmp_path):
    bundle = tmp_path / "b"
    (bundle / "configs").mkdir(parents=True)
    (bundle / "docs").mkdir()
    settings = {"size": {"type": "integer", "meaning": "of it"}, "on": {"type": "yes_or_no", "default": "as usual"}}
    groups = [{"title": "**All**", "files": ["train"], "settings": settings}]
    (bundle / "configs" / "settings.json").write_text(json.dumps(groups))
    (bundle / "configs" / "train.json").write_text(json.dumps({"size": 1200, "on": True}))
    head = "| option | default | meaning |\n|---|---|---|\n"
    (bundle / "docs" / "README.md").write_text(f"before\n\n{head}| `--old` | 1 | gone |\n\nafter\n")
    assert write_pages(tmp_path) == [bundle / "docs" / "README.md"]
    rows = "| **All** | | |\n| `--size` | 1,200 | of it |\n| `--on` | as usual |  |\n"
    assert (bundle / "docs" / "README.md").read_text() == f"before\n\n{head}{rows}\nafter\n"
    assert write_pages(tmp_path) == []


BENCHMARKS = {
    "sfr/finetune*": ("sfr_stitch_finetune", "train"),
    "sfr/pseudo_label": ("sfr_stitch_finetune", "pseudo_label"),
    "sfr/retrain": ("sfr_retrain", "train"),
    "assft_half/pretrain": ("assft_adapt", "pretrain"),
    "assft_half/[!p]*": ("assft_adapt", "train"),
    "query_study/pretrain": ("assft_adapt", "pretrain"),
    "query_study/train": ("assft_adapt", "train"),
    "shipped/assft": ("assft_adapt", "train"),
    "shipped/brats": ("fmabs_brats", "train"),
}


@pytest.mark.parametrize("pattern", BENCHMARKS)
def test_settings_of_benchmarks_are_what_they_may_be(pattern):
    files = sorted((ROOT / "benchmarks").glob(f"{pattern}.json"))
    assert files
    for file in files:
        check_stage(*BENCHMARKS[pattern], json.loads(file.read_text()))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "bundles").glob("*/configs/ours.json")), ids=lambda it: it.parents[1].name
)
def test_overlays_are_what_they_may_be(path):
    check_stage(path.parents[1].name, "train", json.loads(path.read_text()))
