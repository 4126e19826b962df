"""From a cohort to scores by a plan alone: two classes, four channels, CT; made up, and real where the files are."""

import shutil

import nibabel as nib
import numpy as np
import pytest

from common.__main__ import main
from common.annotations import Ledger
from common.cohort import Cohort, write_datalist
from common.commands.bundles import run_workflow
from common.files import read_json
from common.prepare import phantom_volume, prepare_folder
from tests.bundles.workflows import ROOT, let_go
from tests.samples import DATA, needs_data, save

QUICK = {
    "max_iterations": 4,
    "val_interval": 4,
    "query_span": [0.25, 0.5],
    "pseudo_label_span": [0.5, 0.75],
    "pseudo_label_rounds": 1,
    "budget": 2,
    "initial_share": 0.5,
    "per_round": 1,
    "min_component_mm2": 200.0,
    "prompted_views": "axial",
    "precision": "fp32",
    "network_def#width": 2,
}
"""What makes a training short; all else is the plan's."""


def write_scans(folder, labels, change):
    """Six phantoms, of which four are for training and one for testing, each changed before it is written."""
    items = [{"image": f"images/{name}.nii.gz", "label": f"labels/{name}.nii.gz"} for name in "abcdef"]
    for number, item in enumerate(items):
        image, label = change(*phantom_volume((32, 40, 32), [5, number]))
        save(folder / item["image"], image, np.diag([2.0, 2.0, 2.0, 1.0]))
        save(folder / item["label"], label, np.diag([2.0, 2.0, 2.0, 1.0]))
    splits = {"training": items[:4], "validation": items[4:5], "test": items[5:]}
    write_datalist(folder, name="made up", labels=labels, splits=splits)
    return folder


def two_classes(folder):
    """The front and the back half of the atrium."""

    def change(image, label):
        middle = int(np.median(np.nonzero(label)[1]))
        label[:, middle:][label[:, middle:] > 0] = 2
        return image.astype(np.float32), label

    return write_scans(folder, {1: "back", 2: "front"}, change)


def four_channels(folder):
    """Four views of a scan that is 0 outside a box."""

    def change(image, label):
        channels = np.stack([image, 1000 - image, image**2 / 1000, np.sqrt(image)], axis=-1)
        inside = np.zeros(image.shape, bool)
        inside[4:-4, 5:-5, 4:-4] = True
        return (channels * inside[..., None]).astype(np.float32), label

    return write_scans(folder, {1: "whole"}, change)


def in_hounsfield_units(folder):
    return write_scans(folder, {1: "organ"}, lambda image, label: ((image - 1000).astype(np.int16), label))


def hippocampi(folder):
    """Six real scans."""
    for kind in ("images", "labels"):
        (folder / "source" / kind).mkdir(parents=True)
        for file in sorted((DATA / "hippocampus" / kind).glob("*.nii.gz"))[:6]:
            shutil.copy(file, folder / "source" / kind)
    source = folder / "source"
    options = {"classes": ["anterior", "posterior"], "validation": 1, "test": 1, "progress": False}
    prepare_folder(source / "images", folder / "cohort", source / "labels", **options)
    return folder / "cohort"


CASES = [
    pytest.param(two_classes, "fmabs_la", id="two classes"),
    pytest.param(four_channels, "fmabs_brats", id="four channels"),
    pytest.param(in_hounsfield_units, "fmabs_la", id="CT"),
    pytest.param(hippocampi, "fmabs_la", id="hippocampus", marks=needs_data("hippocampus")),
]


@pytest.mark.parametrize(("make", "bundle"), CASES)
def test_a_planned_training_and_what_comes_after(make, bundle, tmp_path):
    dataset_dir, output_dir, folder = make(tmp_path / "data"), tmp_path / "run", ROOT / "bundles" / bundle
    plan = tmp_path / "plan.json"
    main(["plan", "--dataset_dir", str(dataset_dir), "--bundle", bundle, "--device", "cpu", "--target", str(plan)])
    planned = read_json(plan)
    own = {"dataset_dir": str(dataset_dir), "output_dir": str(output_dir), "device": "cpu"}
    run_workflow(folder, ["train", plan], own | QUICK)
    let_go()
    cohort = Cohort.open(dataset_dir)
    assert len(Ledger(output_dir).entries) == 2
    settings = read_json(output_dir / "model.json")
    assert {name: settings[name] for name in ("channels", "window", "nonzero", "roi_size")} == {
        name: planned[name] for name in ("channels", "window", "nonzero", "roi_size")
    }
    assert settings["num_classes"] == cohort.num_classes
    label = np.asarray(nib.load(next((output_dir / "annotation").glob("*.nii"))).dataobj)
    assert set(np.unique(label)) == {*range(cohort.num_classes), 255}

    # What a model was trained with lies beside it: no plan is needed any more.
    run_workflow(folder, ["evaluate"], own | {"precision": "fp32"})
    metrics = read_json(output_dir / "evaluation" / "metrics.json")
    assert list(metrics["classes"]) == list(cohort.labels.values()) and metrics["scans"] == 1
    run_workflow(folder, ["inference"], own | {"precision": "fp32"})
    prediction = nib.load(output_dir / "predictions" / f"{cohort.test[0].id}_seg.nii.gz")
    assert prediction.shape == nib.load(cohort.test[0].image).shape[:3]


def test_what_the_plans_say_of_these_cohorts(tmp_path):
    plans = {}
    for make in (two_classes, four_channels, in_hounsfield_units):
        folder = make(tmp_path / make.__name__)
        main(["plan", "--dataset_dir", str(folder), "--device", "cpu"])
        plans[make] = read_json(folder / "plan.json")
    # The halves look alike, and one lies always in front: no mirroring.
    assert plans[two_classes]["augmentation"] is False
    assert plans[four_channels]["channels"] == 4 and plans[four_channels]["nonzero"] is True
    low, high, mean, deviation = plans[in_hounsfield_units]["window"]
    assert -1000 < low < mean < high and deviation > 0
    # Two thirds of 32 and 40 are 21.3 and 26.7; 48 - 32 and 48 - 40, half of it.
    assert all(it["roi_size"] == [32, 32, 32] and it["margin"] == [8, 4, 8] for it in plans.values())
