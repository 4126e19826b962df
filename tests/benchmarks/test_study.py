"""Studies: what a method is, what annotations cost, and what the tables say of runs whose scores are known."""

from __future__ import annotations

import json
import math
import resource

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser
from rival_nnunet import score
from study_file import Evaluation, read_study
from study_page import by_scan, interval, markdown, minutes, plot
from study_run import Cost, Result, _spent, annotation_cost, read_result, slices_with_objects
from study_settings import settings_table

from common.annotations import Ledger, LedgerEntry
from common.checks import check_window
from common.cohort import Cohort, write_datalist
from common.commands.bundles import check_stage
from common.files import write_nifti
from tests.bundles.workflows import ROOT

STUDY = {
    "title": "Toy",
    "about": "About.",
    "prepare": "prepare",
    "scans": {"pool": 2, "tuning": 1, "report": 1},
    "seconds_per_slice": 30,
    "blocks": {"small": {"a": 1, "b": 1}, "wide": {"b": 2}, "stages": {"retrain": {"x": 1, "y": 1}}},
    "methods": {
        "first": {"title": "First", "kind": "fmabs_la", "uses": ["small", "wide"], "settings": {"c": 3}},
        "second": {"title": "Second", "kind": "sfr", "uses": ["stages"], "settings": {"retrain": {"y": 2}}},
        "third": {"title": "Third", "kind": "fmabs_la", "uses": ["ours"]},
        "fourth": {"title": "Fourth", "kind": "sfr", "uses": ["ours", "stages"]},
        "fifth": {"title": "Fifth", "kind": "sfr_retrain", "uses": ["stages", "wide"]},
    },
}


@pytest.fixture
def study(tmp_path):
    (tmp_path / "toy.json").write_text(json.dumps(STUDY))
    return read_study(tmp_path / "toy.json")


def result(method, seed, dice, slices=60):
    """A run with two classes, of which the second is 0.2 worse than the first."""
    scores = {
        scan: {
            label: {"dice": value - shift, "hd95_voxel": 10 * value} for label, shift in (("one", 0.0), ("two", 0.2))
        }
        for scan, value in dice.items()
    }
    return Result(method, seed, "report", scores, Cost(20, slices, 9), 120.0, 10**9, "2026-01-01")


def test_settings_of_a_method(study):
    """Later blocks count, the method's own settings most; stages of a command are put together."""
    assert study.methods["first"].settings == {"a": 1, "b": 2, "c": 3}
    assert study.methods["second"].settings == {"retrain": {"x": 1, "y": 2}}
    assert study.methods["third"].settings == overlay("fmabs_la")
    both = {"finetune": overlay("sfr_stitch_finetune"), "retrain": overlay("sfr_retrain") | {"x": 1, "y": 1}}
    assert study.methods["fourth"].settings == both
    assert study.methods["fifth"].settings == {"x": 1, "y": 1, "b": 2}


def overlay(bundle):
    return json.loads((ROOT / "bundles" / bundle / "configs/ours.json").read_text())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "fmabs"}, "kind of first"),
        ({"uses": ["smal"]}, "a block of first"),
        ({"kind": "assft", "uses": ["ours"]}, "a block of first"),
    ],
)
def test_what_a_method_cannot_be(tmp_path, changes, message):
    methods = {"first": STUDY["methods"]["first"] | changes}
    (tmp_path / "toy.json").write_text(json.dumps(STUDY | {"methods": methods}))
    with pytest.raises(ValueError, match=message):
        read_study(tmp_path / "toy.json")


def test_evaluations_have_names_of_their_own():
    assert [Evaluation("report").name, Evaluation("tuning", 1).name] == ["report", "tuning_largest1"]
    with pytest.raises(ValueError, match="part must be one of"):
        Evaluation("test")
    with pytest.raises(ValueError, match="largest_volumes"):
        Evaluation("report", 0)


def test_labels_of_nnunet_keep_as_many_components(tmp_path):
    """Two boxes of 27 and 8 voxels were found where the first is right: Dice 54 / 62 of both, 1 of the larger alone."""
    label = np.zeros((12, 12, 12), np.uint8)
    label[1:4, 1:4, 1:4] = 1
    found = label.copy()
    found[8:10, 8:10, 8:10] = 1
    for name, voxels in (("images/a", label), ("labels/a", label), ("found/a", found)):
        write_nifti(tmp_path / f"{name}.nii.gz", voxels, np.eye(4))
    item = {"image": "images/a.nii.gz", "label": "labels/a.nii.gz"}
    write_datalist(tmp_path, name="toy", labels={1: "box"}, splits={"test": [item]})
    cohort = Cohort.open(tmp_path)
    for kept, dice in ((None, 54 / 62), (1, 1)):
        scores = score(cohort, tmp_path / "found", Evaluation("report", kept))
        assert scores["a"]["box"]["dice"] == pytest.approx(dice)


def test_a_cohort_of_other_parts_is_refused(study, tmp_path):
    scans = [{"image": f"{number}.nii.gz"} for number in range(4)]
    parts = {"training": scans[:3], "validation": scans[3:], "test": []}
    (tmp_path / "datalist.json").write_text(json.dumps({"name": "x", "labels": {"1": "one"}, **parts}))
    with pytest.raises(ValueError, match=r"expected \{'pool': 2, .* found \{'pool': 3, 'tuning': 1, 'report': 0\}"):
        study.check(Cohort.open(tmp_path))


def test_settings_of_the_methods_stand_side_by_side(tmp_path):
    """Where a method leaves a setting alone: the value in `train.json`, the default of the V-Net, the annotator's."""
    first = {"budget": 5, "seed": 3, "query": "random", "train#terms#1#weight": 1.0}
    first |= {"optimizer": {"_target_": "torch.optim.Adam"}}
    second = {"seed": 3, "network_def#dropout": 0.0, "annotators#oracle#dense": True, "widen_mm": [0.0, 5.0]}
    methods = {
        name: {"title": name, "kind": "fmabs_la", "settings": settings}
        for name, settings in (("first", first), ("second", second))
    }
    methods["other"] = {"title": "Other", "kind": "sfr_retrain"}
    (tmp_path / "toy.json").write_text(json.dumps(STUDY | {"methods": methods}))
    study = read_study(tmp_path / "toy.json")
    assert settings_table(study, ["first", "second"]) == [
        "Shared by all: `seed` 3.",
        "",
        "| setting | `first` | `second` |",
        "|---|---|---|",
        "| `budget` | 5 | 20 |",
        "| `query` | random | her |",
        "| weight of pseudo-labels, λ_sam (`train#terms#1#weight`) | 1 | GaussianRampDown (maximum 0.5) |",
        "| `optimizer` | Adam | SGD (momentum 0.9, weight_decay 0.0001) |",
        "| `network_def#dropout` | 0.5 | 0 |",
        "| annotation of whole scans (`annotators#oracle#dense`) | no | yes |",
        "| `widen_mm` | [0, 6.25] | [0, 5] |",
    ]
    with pytest.raises(ValueError, match="one kind, found fmabs_la, sfr_retrain"):
        settings_table(study, ["first", "other"])


STAGES = {
    "finetune": ("sfr_stitch_finetune", "train"),
    "pseudo_label": ("sfr_stitch_finetune", "pseudo_label"),
    "retrain": ("sfr_retrain", "train"),
    "pretrain": ("assft_adapt", "pretrain"),
    "train": ("assft_adapt", "train"),
}


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks/studies").glob("*.json")), ids=lambda it: it.stem)
def test_settings_of_the_studies_are_what_they_may_be(path):
    for method in read_study(path).methods.values():
        if method.kind in ("fmabs_la", "sfr_retrain"):
            check_stage(method.kind, "train", method.settings)
        for stage in STAGES.keys() & method.settings.keys():
            check_stage(*STAGES[stage], method.settings[stage])


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks/studies").glob("*.json")), ids=lambda it: it.stem)
def test_patches_of_the_studies_suit_the_pre_trained_network(path):
    """Of 32 voxels a side nothing but one voxel is left at the bottleneck, which its normalisation refuses."""
    usual = json.loads((ROOT / "bundles/assft_adapt/configs/query.json").read_text())
    definition = usual["network_def"] | {"_requires_": None, "in_channels": 1, "out_channels": 2}
    network = ConfigParser(definition).get_parsed_content()
    methods = [method for method in read_study(path).methods.values() if method.kind == "assft"]
    for roi_size in {tuple(method.settings["train"].get("roi_size", usual["roi_size"])) for method in methods}:
        check_window(network, roi_size, channels=1)


def test_slices_that_show_an_object():
    """A block of 2 x 3 x 4 voxels lies in 2 slices along the first axis, which are the fewest."""
    label = np.zeros((9, 9, 9), np.uint8)
    label[1:3, 1:4, 1:5] = 1
    assert slices_with_objects(label) == 2
    label[7, 1:4, 1:5] = 2
    assert slices_with_objects(label) == 3
    assert slices_with_objects(np.zeros((3, 3, 3), np.uint8)) == 0


def test_cost_of_slices_and_of_a_dense_label(tmp_path):
    label = np.zeros((6, 7, 8), np.uint8)
    label[1:3, 1:6, 1:6] = 1
    nib.save(nib.Nifti1Image(label, np.eye(4)), tmp_path / "label.nii.gz")
    scans = [{"id": name, "image": f"{name}.nii.gz", "label": "label.nii.gz"} for name in "ab"]
    content = {"name": "x", "labels": {"1": "one"}, "training": scans, "validation": [], "test": []}
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    ledger = Ledger(tmp_path)
    slices = {"axial": 1, "coronal": 2, "sagittal": 3}
    ledger.add(LedgerEntry("a", 0, 0, "random", None, slices, 100, "oracle"))
    ledger.add(LedgerEntry("b", 0, 0, "random", None, None, 336, "oracle"))
    assert annotation_cost(ledger, Cohort.open(tmp_path)) == Cost(scans=2, slices=5, voxels=436)


def test_memory_is_the_most_of_all_sessions(tmp_path):
    """A later session that only evaluates, with less memory, does not lower it; its seconds are added."""
    (tmp_path / "spent.json").write_text(json.dumps({"seconds": 1000.0, "memory": 10**15}))
    seconds, memory = _spent(tmp_path / "spent.json", of=resource.RUSAGE_SELF)
    assert memory == 10**15 and seconds > 1000
    assert json.loads((tmp_path / "spent.json").read_text()) == {"seconds": seconds, "memory": memory}


def test_a_result_comes_back_from_its_file(tmp_path):
    written = result("first", 0, {"a": 0.9})
    written.write(tmp_path / "r.json")
    assert read_result(tmp_path / "r.json") == written


def test_a_class_of_which_nothing_was_found(study, tmp_path):
    """Its distance is NaN, as null in the file; means are without it, and the page says so."""
    written = result("first", 0, {"a": 0.9, "b": 0.7})
    written.scores["a"]["two"] = {"dice": 0.0, "hd95_voxel": math.nan}
    written.write(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["scores"]["a"]["two"]["hd95_voxel"] is None
    read = read_result(tmp_path / "r.json")
    np.testing.assert_allclose(by_scan([read], "hd95_voxel"), [[9, 7]])
    np.testing.assert_allclose(by_scan([read], "dice"), [[0.45, 0.6]])
    page = markdown(study, {"first": [read]}, evaluation=Evaluation("report"), command="command")
    assert "without classes of which nothing was found: First (1 of 4)." in page

    read.scores["a"]["one"]["hd95_voxel"] = math.nan
    np.testing.assert_allclose(by_scan([read], "hd95_voxel"), [[math.nan, 7]])


def test_interval_against_a_plain_loop():
    """Of seeds and scans, both drawn with replacement."""
    values = np.random.default_rng(1).normal(0.8, 0.05, (3, 12))
    random = np.random.default_rng(5)
    means = [
        np.mean([values[row, column] for row in random.integers(3, size=3) for column in columns])
        for columns in random.integers(12, size=(4000, 12))
    ]
    assert interval(values) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.002)
    assert interval(np.full((2, 4), 0.5)) == (0.5, 0.5)


def test_tables(study, tmp_path):
    """The first method is 0.1 better on each of six scans: p = 2 / 2^6 for the one pair."""
    scans = {scan: 0.8 + 0.01 * number for number, scan in enumerate("abcdef")}
    worse = {scan: value - 0.1 - 0.001 * number for number, (scan, value) in enumerate(scans.items())}
    found = {
        "first": [result("first", seed, scans) for seed in (0, 1)],
        "third": [result("third", seed, worse, slices=20) for seed in (0, 1)],
    }
    assert by_scan(found["first"], "dice").shape == (2, 6)
    assert by_scan(found["first"], "dice")[0, 0] == pytest.approx(0.7)
    assert minutes(study, found["first"]) == 30
    text = markdown(study, found, evaluation=Evaluation("report"), command="python x")
    assert "| First | 72.5 [" in text and "| 2 | 20 | 60 | 30 min | 2 min | 1.0 GB |" in text
    assert "| First | 82.5 | 62.5 | 72.5 72.5 |" in text
    assert "| First, against | difference in Dice [%] | p (Holm) |" in text
    assert "| Third | 10.2 [" in text and "| 0.031 |" in text
    plot(study, found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000
