"""The stitching bundle's own configs, at the size of seconds."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.transforms import RandSpatialCropd

from common.annotations import AnnotationStore, Ledger
from common.cohort import Cohort
from common.generalists.sam import add_lora, load_adapter, merge_lora
from common.generalists.sam.models import KINDS, SamKind, build_vit_sam
from tests.bundles.turns import assert_turned_and_mirrored
from tests.bundles.workflows import ROOT, Stop, refused, run, stop, workflow

NAME = "sfr_stitch_finetune"


@pytest.fixture
def settings(cohort_dir, tmp_path):
    """Four iterations of the small SAM on 4 x 4 tiles of 32 pixels."""
    return {
        "dataset_dir": str(cohort_dir),
        "output_dir": str(tmp_path / "run"),
        "device": "cpu",
        "labelled": 1,
        "image_size": 128,
        "roi_size": [32, 32, 16],
        "max_iterations": 4,
        "val_interval": 2,
        "precision": "fp32",
    }


def kept(settings):
    return {key: settings[key] for key in ("dataset_dir", "output_dir", "device", "image_size", "roi_size")}


def test_trains_labels_and_joins_the_most_confident(settings, cohort_dir, tmp_path):
    flow = run(NAME, "train", settings)
    assert not flow.check_properties()
    output, cohort = Path(settings["output_dir"]), Cohort.open(cohort_dir)
    first, *others = cohort.training
    assert Ledger(output / "ledger.json").labelled == [first.id]
    run(NAME, "evaluate", kept(settings) | {"split": "test"})
    assert json.loads((output / "evaluation" / "metrics.json").read_text())["scans"] == len(cohort.test)
    assert not run(NAME, "inference", kept(settings)).check_properties()
    for scan in cohort.test:
        prediction = nib.load(output / "predictions" / f"{scan.id}_seg.nii.gz")
        assert prediction.shape == nib.load(scan.image).shape

    run(NAME, "pseudo_label", kept(settings) | {"refine": "true", "views": 4})
    index = json.loads((output / "pseudo_labels" / "pseudo_labels.json").read_text())["scans"]
    assert sorted(index) == sorted(scan.id for scan in others)
    for entry in index.values():
        label, sure = (
            np.asarray(nib.load(output / "pseudo_labels" / entry[it]).dataobj) for it in ("label", "confidence_map")
        )
        assert set(np.unique(label)) <= {0, 1, 255} and sure.dtype == np.uint8 and label.shape == sure.shape
        assert 0 <= entry["confidence"] <= 1

    again = {
        "output_dir": str(tmp_path / "selected"),
        "pseudo_label_dir": str(output / "pseudo_labels"),
        "share": 0.5,
        "initial_checkpoint": str(output / "model.pt"),
    }
    flow = run(NAME, "train", settings | again)
    store = AnnotationStore(tmp_path / "selected")
    best = sorted(index, key=lambda scan: -index[scan]["confidence"])[: round(0.5 * len(index))]
    assert sorted(scan.id for scan in others if store.has("pseudo_label", scan.id)) == sorted(best)
    used = {item["scan"] for item in flow.parser.get_parsed_content("train#dataset").data}
    assert used == {first.id, *best}


def test_an_interrupted_labelling_goes_on(settings, cohort_dir, monkeypatch):
    run(NAME, "train", settings)
    folder = Path(settings["output_dir"]) / "pseudo_labels"
    flow = workflow(NAME, "pseudo_label", kept(settings))
    flow.initialize()
    labeller = flow.parser.get_parsed_content("labeller")
    add = labeller.folder.add

    def fail(scan, *rest):
        if labeller.folder.scans:
            raise KeyboardInterrupt
        add(scan, *rest)

    monkeypatch.setattr(labeller.folder, "add", fail)
    with pytest.raises(KeyboardInterrupt):
        labeller.run()
    assert len(json.loads((folder / "pseudo_labels.json").read_text())["scans"]) == 1
    (done,) = (folder / "labels").iterdir()
    written = done.stat().st_mtime_ns
    run(NAME, "pseudo_label", kept(settings))
    assert done.stat().st_mtime_ns == written
    assert len(list((folder / "labels").iterdir())) == len(Cohort.open(cohort_dir).training) - 1
    with refused(ValueError, "its labels were made with"):
        run(NAME, "pseudo_label", kept(settings) | {"stride": [32, 32, 16]})


def test_resumed_run_equals_the_uninterrupted_one(settings, tmp_path):
    settings = settings | {"checkpoint_interval": 2}
    run(NAME, "train", settings)
    interrupted = settings | {"output_dir": str(tmp_path / "interrupted")}
    flow = workflow(NAME, "train", interrupted)
    flow.initialize()
    flow.parser.get_parsed_content("train#trainer").add_event_handler(Events.ITERATION_COMPLETED(once=3), stop)
    with refused(Stop):
        flow.run()
    run(NAME, "train", interrupted)
    whole, resumed = (
        torch.load(Path(it["output_dir"]) / "checkpoint.pt", weights_only=True)["objects"]["student"]
        for it in (settings, interrupted)
    )
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_a_pretrained_sam_is_adapted_by_lora(settings, tmp_path, monkeypatch):
    """A small SAM in ViT-B's place: its encoder stays, and the adapter alone restores what was learnt."""
    torch.manual_seed(0)
    monkeypatch.setitem(KINDS, "sam_vit_b", SamKind(lambda: build_vit_sam(32, 2, 2, (1,), 1024)))
    base = KINDS["sam_vit_b"].build()
    torch.save(base.state_dict(), tmp_path / "base.pt")
    sam = {"sam": "sam_vit_b", "sam_checkpoint": str(tmp_path / "base.pt"), "image_size": 1024, "save_memory": True}
    flow = run(NAME, "train", settings | sam | {"max_iterations": 2, "val_interval": 2})
    network = flow.parser.get_parsed_content("network_def")
    state = network.state_dict()
    for name, value in base.image_encoder.state_dict().items():
        assert torch.equal(state[f"sam.image_encoder.{name}"], value)
    adapter = Path(settings["output_dir"]) / "adapter.pt"
    restored = load_adapter(base, adapter)
    assert all(torch.equal(value, state[f"sam.{name}"]) for name, value in restored.state_dict().items())
    torch.manual_seed(1)
    with pytest.raises(ValueError, match="base"):
        load_adapter(KINDS["sam_vit_b"].build(), adapter)
    merge_lora(add_lora(KINDS["sam_vit_b"].build()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labelled": 99}, "labelled must lie in"),
        ({"sam": "sam"}, "sam must be one of small, mobile_sam"),
        ({"image_size": 64, "roi_size": [80, 32, 16]}, "size must be at least 80"),
        ({"turn": "no"}, "turn must be True or False (or 1 or 0), got 'no'"),
        ({"mirrored": 2}, "mirrored must be a number from 0 to 1, got 2"),
        ({"pseudo_label_dir": "nowhere"}, "expected a folder of pseudo-labels"),
    ],
)
def test_bad_settings(changes, message, settings):
    flow = workflow(NAME, "train", settings | changes)
    with refused(Exception, message):
        flow.initialize()
        flow.run()


@pytest.mark.parametrize("views", [0, 5, 1.5, True, "all"])
def test_bad_numbers_of_views(views, settings, tmp_path):
    torch.save({}, tmp_path / "model.pt")
    changes = {"checkpoint": str(tmp_path / "model.pt"), "views": views}
    with refused(ValueError, f"views must be a whole number from 1 to 4, got {views!r}"):
        workflow(NAME, "pseudo_label", kept(settings) | changes).initialize()


def transforms(settings):
    return workflow(NAME, "train", settings).parser.get_parsed_content("train#random_transforms")


def test_by_default_augmentation_is_the_code_of_the_paper(settings):
    *_, half_turn, quarter_turn, mirror, curves = transforms(settings)
    assert (curves.prob, curves.inverted, curves.rescale) == (0.5, 0.0, False)
    network = workflow(NAME, "train", settings).parser.get_parsed_content("network_def")
    assert (network.augment, network.mirrored, network.reversed_slices) == (True, 1.0, 0.0)
    assert_turned_and_mirrored([half_turn, quarter_turn, mirror])


def test_our_augmentation_is_an_overlay(settings):
    ours = json.loads((ROOT / "bundles" / NAME / "configs" / "ours.json").read_text())
    *_, crop, curves = transforms(settings | ours)
    assert isinstance(crop, RandSpatialCropd)
    assert (curves.prob, curves.inverted, curves.rescale) == (0.8, 0.0, True)
    network = workflow(NAME, "train", settings | ours).parser.get_parsed_content("network_def")
    assert network.augment is False


@pytest.mark.parametrize("stage", ["train", "pseudo_label", "evaluate", "inference"])
@pytest.mark.parametrize(("kind", "side"), [("small", 1024), ("lite_medsam", 256), ("sam_vit_b", 1024)])
def test_the_size_of_the_stitched_image_follows_from_the_kind_in_every_stage(kind, side, stage):
    settings = {"sam": kind} | ({"checkpoint": "none.pt"} if stage in ("evaluate", "inference") else {})
    assert workflow("sfr_stitch_finetune", stage, settings).parser.get_parsed_content("image_size") == side
