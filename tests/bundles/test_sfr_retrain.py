"""The re-training bundle's own configs, at the size of seconds."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.transforms import RandSpatialCropd

from common.annotations import AnnotationStore, Ledger
from common.cohort import Cohort, read_labels_ras
from common.files import read_json, write_json
from common.handlers import read_log, read_sessions
from tests.bundles.turns import assert_turned_and_mirrored
from tests.bundles.workflows import Stop, refused, run, stop, workflow

NAME = "sfr_retrain"


@pytest.fixture
def settings(cohort_dir, tmp_path):
    """Six iterations of a narrow V-Net on one labelled scan."""
    return {
        "dataset_dir": str(cohort_dir),
        "output_dir": str(tmp_path / "run"),
        "device": "cpu",
        "labelled": 1,
        "roi_size": [32, 32, 32],
        "max_iterations": 6,
        "ramp_up": 6,
        "val_interval": 3,
        "precision": "fp32",
        "network_def#width": 2,
        "train#ramp#every": 1,
    }


@pytest.fixture(scope="session")
def pseudo_label_dir(cohort_dir, tmp_path_factory):
    """What the first stage leaves behind: here, the dense labels of all training scans but the first."""
    folder = tmp_path_factory.mktemp("pseudo_labels")
    scans = {}
    for number, scan in enumerate(Cohort.open(cohort_dir).training[1:]):
        label, affine = read_labels_ras(scan.label)
        sure = np.full(label.shape, 255, np.uint8)
        sure[: label.shape[0] // 2] = 100
        files = {"label": f"labels/{scan.id}.nii.gz", "confidence_map": f"confidence/{scan.id}.nii.gz"}
        for name, array in zip(files.values(), (label, sure), strict=True):
            (folder / name).parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(np.asarray(array, np.uint8), affine), folder / name)
        scans[scan.id] = {"confidence": 0.9 - 0.1 * number, **files}
    write_json(folder / "pseudo_labels.json", {"version": 1, "scans": scans})
    return folder


def test_trains_evaluates_and_infers(settings, pseudo_label_dir, cohort_dir):
    changes = {"pseudo_label_dir": str(pseudo_label_dir), "share": 0.5, "threshold": 0.5, "weigh_scans": True}
    flow = run(NAME, "train", settings | changes)
    assert not flow.check_properties()
    output, cohort = Path(settings["output_dir"]), Cohort.open(cohort_dir)
    entries = Ledger(output / "ledger.json").entries
    first, *others = cohort.training
    assert [(entry.scan, entry.round, entry.slices) for entry in entries] == [(first.id, 0, None)]
    store = AnnotationStore(output)
    assert [scan.id for scan in cohort.training if store.has("annotation", scan.id)] == [first.id]
    confident = others[: round(0.5 * len(others))]
    assert [scan for scan in others if store.has("pseudo_label", scan.id)] == confident
    batch = next(iter(flow.parser.get_parsed_content("train#dataloader")))
    confidence = {scan.id: 0.9 - 0.1 * number for number, scan in enumerate(confident)}
    assert batch["confidence"].tolist() == pytest.approx([confidence.get(scan, 0.0) for scan in batch["scan"]])
    assert (batch["annotation"][:2] != 255).all() and (batch["annotation"][2:] == 255).all()
    log = read_log(output / "log.jsonl")
    assert [line["iteration"] for line in log if line["kind"] == "validation"] == [3, 6]

    kept = {key: settings[key] for key in ("output_dir", "device", "roi_size", "network_def#width")}
    run(NAME, "evaluate", {**kept, "dataset_dir": str(cohort_dir), "split": "test"})
    assert json.loads((output / "evaluation" / "metrics.json").read_text())["scans"] == len(cohort.test)
    flow = run(NAME, "inference", {**kept, "dataset_dir": str(cohort_dir)})
    assert not flow.check_properties()
    assert (
        nib.load(output / "predictions" / f"{cohort.test[0].id}_seg.nii.gz").shape
        == nib.load(cohort.test[0].image).shape
    )
    predicted = {path.name.removesuffix("_seg.nii.gz") for path in (output / "predictions").glob("*.nii.gz")}
    tested = {scan.id for scan in cohort.test}
    for place, stage, scans in (("evaluation", "evaluation", tested), ("predictions", "inference", predicted)):
        uncertainty = read_json(output / place / "uncertainty.json")
        assert uncertainty["scans"].keys() == scans and bool(uncertainty["reliability"]) == (stage == "evaluation")
        (session,) = read_sessions(output / place / "provenance.json")
        assert (session["stage"], session["iterations"], session["complete"]) == (stage, [0, len(scans)], True)
    (session,) = read_sessions(output / "provenance.json")
    assert (session["stage"], session["iterations"], session["seed"]) == ("training", [0, 6], 0)
    assert session["config"].items() >= {"max_iterations": 6, "network_def#width": 2, "train#ramp#every": 1}.items()
    assert "learning_rate" not in session["config"], "which is the bundle's own"


TERMS = {
    "mean_teacher": {"consistency"},
    "uamt": {"certain_consistency"},
    "cps": {"cross_pseudo_supervision"},
    "ict": {"interpolation_consistency"},
    "none": set(),
}


def logged(settings, **changes):
    """The numbers of a run's first iterations, by name."""
    outputs = []
    flow = workflow(NAME, "train", settings | {"max_iterations": 2} | changes)
    flow.initialize()
    trainer = flow.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: outputs.append(engine.state.output[0]))
    flow.run()
    return outputs


@pytest.mark.parametrize("companion", TERMS)
def test_the_companion_is_one_setting(companion, settings, pseudo_label_dir):
    outputs = logged(settings, semi_supervised=companion, pseudo_label_dir=str(pseudo_label_dir))
    assert [set(numbers) for numbers in outputs] == [{"loss", "annotation", "pseudo_label"} | TERMS[companion]] * 2
    assert all(np.isfinite(list(numbers.values())).all() for numbers in outputs)


def test_without_pseudo_labels_it_says_so(settings, capsys):
    outputs = logged(settings)
    assert "WARNING - NO PSEUDO-LABELS" in capsys.readouterr().out
    assert set(outputs[0]) == {"loss", "annotation", "consistency"}


def test_pseudo_labels_may_be_made_online(settings, cohort_dir):
    frozen = {"_target_": "torch.nn.Conv3d", "in_channels": 1, "out_channels": 2, "kernel_size": 1}
    outputs = logged(settings, pseudo_labels="online", online_network=frozen, semi_supervised="cps")
    assert set(outputs[0]) == {"loss", "annotation", "pseudo_label", "cross_pseudo_supervision"}


@pytest.mark.parametrize("companion", ["uamt", "cps"])
def test_resumed_run_equals_the_uninterrupted_one(companion, settings, pseudo_label_dir, tmp_path):
    settings |= {"semi_supervised": companion, "pseudo_label_dir": str(pseudo_label_dir), "max_iterations": 4}
    settings |= {"checkpoint_interval": 2, "network_def#dropout": 0.5}
    whole = {**settings, "output_dir": str(tmp_path / "whole")}
    run(NAME, "train", whole)
    flow = workflow(NAME, "train", settings)
    flow.initialize()
    flow.parser.get_parsed_content("train#trainer").add_event_handler(Events.ITERATION_STARTED(once=4), stop)
    with refused(Stop):
        flow.run()
    run(NAME, "train", settings)

    expected, found = objects(whole), objects(settings)
    assert expected.keys() == found.keys()
    assert any(name.startswith("second.") for name in found) == (companion == "cps")
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def objects(settings):
    content = torch.load(Path(settings["output_dir"]) / "checkpoint.pt", weights_only=True)["objects"]
    networks = {name: content[name] for name in ("student", "teacher", "second") if name in content}
    return {f"{name}.{key}": tensor for name, state in networks.items() for key, tensor in state.items()}


def test_the_second_network_starts_from_other_weights(settings):
    flow = workflow(NAME, "train", settings | {"semi_supervised": "cps"})
    flow.initialize()
    pair = [flow.parser.get_parsed_content(name) for name in ("network", "second_network")]
    assert type(pair[0]) is type(pair[1])
    first, second = (network.head.weight for network in pair)
    assert first.shape == second.shape and not torch.equal(first, second)
    learnt = {id(it) for group in flow.parser.get_parsed_content("optimizer").param_groups for it in group["params"]}
    assert learnt == {id(it) for network in pair for it in network.parameters()}


@pytest.mark.parametrize(
    "network",
    [
        {
            "_target_": "UNet",
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 2,
            "channels": [4, 8],
            "strides": [2],
        },
        {"_target_": "SegResNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2, "init_filters": 8},
    ],
    ids=lambda network: network["_target_"],
)
def test_the_specialist_is_one_setting(network, settings, pseudo_label_dir, cohort_dir):
    settings.pop("network_def#width")
    settings |= {"network_def": network, "semi_supervised": "cps", "max_iterations": 1}
    flow = run(NAME, "train", settings | {"pseudo_label_dir": str(pseudo_label_dir)})
    for name in ("network", "second_network"):
        assert type(flow.parser.get_parsed_content(name)).__name__ == network["_target_"]
    kept = {key: settings[key] for key in ("output_dir", "device", "roi_size", "network_def")}
    run(NAME, "evaluate", {**kept, "dataset_dir": str(cohort_dir), "split": "test"})


def incomplete(folder, tmp_path):
    """The pseudo-labels without those of one scan, and its name."""
    copied = tmp_path / "incomplete"
    shutil.copytree(folder, copied)
    index = copied / "pseudo_labels.json"
    content = json.loads(index.read_text())
    lost, _ = content["scans"].popitem()
    index.write_text(json.dumps(content))
    return copied, lost


def test_missing_pseudo_labels_are_named_or_done_without(settings, pseudo_label_dir, tmp_path):
    folder, lost = incomplete(pseudo_label_dir, tmp_path)
    settings |= {"pseudo_label_dir": str(folder), "max_iterations": 1}
    with refused(ValueError, lost):
        workflow(NAME, "train", settings).initialize()
    run(NAME, "train", settings | {"missing_pseudo_labels": "skip"})
    assert not AnnotationStore(settings["output_dir"]).has("pseudo_label", lost)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labelled": None}, "expected unlabelled training scans"),
        ({"labelled": 0}, "labelled must be a whole number of at least 1, or None, got 0"),
        ({"labelled": 60}, "got 60"),
        ({"semi_supervised": "mean"}, "mean_teacher, uamt, cps, ict, none, got 'mean'"),
        ({"pseudo_labels": "offline"}, "precomputed, online, got 'offline'"),
        ({"pseudo_labels": "online"}, "online_network must be"),
        ({"semi_supervised": "ict", "batch_unlabelled": 1}, "batch_unlabelled must be at least 2"),
        ({"pseudo_label_dir": "nowhere"}, "nowhere"),
        ({"roi_size": [30, 32, 32]}, "divisible by 16, as in"),
        ({"evaluated": "both"}, "evaluated must be one of student, teacher, got 'both'"),
        ({"weigh_scans": "maybe"}, "weigh_scans must be True or False (or 1 or 0), got 'maybe'"),
    ],
)
def test_bad_settings_are_named_before_training(changes, message, settings):
    with refused(Exception, message):
        workflow(NAME, "train", settings | changes).initialize()
    assert not (Path(settings["output_dir"]) / "checkpoint.pt").exists()


def test_alone_it_labels_the_first_phantoms(tmp_path):
    assert workflow(NAME, "train", {"output_dir": str(tmp_path)}).parser.get_parsed_content("labelled") == 4


@pytest.mark.parametrize("evaluated", ["student", "teacher"])
def test_the_network_that_is_validated_is_saved(evaluated, settings):
    flow = run(NAME, "train", settings | {"max_iterations": 12, "val_interval": 12, "evaluated": evaluated})
    content = flow.parser.get_parsed_content
    expected = content("network_def") if evaluated == "student" else content("teacher").ema_model
    assert content("validate#evaluator").network is expected
    saved = torch.load(Path(settings["output_dir"]) / "model.pt", weights_only=True)
    assert saved.keys() == expected.state_dict().keys()
    assert all(torch.equal(saved[name], value) for name, value in expected.state_dict().items())
    other = content("teacher").ema_model if evaluated == "student" else content("network_def")
    assert not all(torch.equal(saved[name], value) for name, value in other.state_dict().items())


@pytest.mark.parametrize("roi_size", [[32, 32, 16], [32, 48, 16]])
def test_patches_are_turned_and_mirrored_as_in_the_code_of_the_paper(roi_size, settings):
    flow = workflow(NAME, "train", settings | {"roi_size": roi_size})
    *_, half_turn, quarter_turn, mirror = flow.parser.get_parsed_content("train#random_transforms")
    found = [it for it in (half_turn, quarter_turn, mirror) if not isinstance(it, RandSpatialCropd)]
    assert_turned_and_mirrored(found, square=roi_size[0] == roi_size[1])
