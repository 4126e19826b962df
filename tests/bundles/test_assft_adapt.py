"""The adaptation bundle's pre-training, fine-tuning, evaluation and inference, at the size of seconds."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.transforms import Compose
from scipy.stats import spearmanr

from common.annotations import AnnotationStore, Ledger
from common.cohort import Cohort
from tests.bundles.adaptation import NAME, NETWORK, SMALL_SOURCE, SWIN, copies, table
from tests.bundles.workflows import ROOT, Stop, refused, run, stop, workflow


def test_pretrains_queries_trains_evaluates_and_infers(train_settings, query_settings, common_settings, cohort_dir):
    cohort, output = Cohort.open(cohort_dir), Path(train_settings["output_dir"])
    run(NAME, "query", query_settings)
    rows = table(query_settings)
    assert sorted(row["scan"] for row in rows) == sorted(scan.id for scan in cohort.training)
    assert [row["chosen"] for row in rows] == ["1", "2"] + ["0"] * (len(rows) - 2)
    entries = Ledger(output / "ledger.json").entries
    assert [(entry.scan, entry.strategy, entry.slices) for entry in entries] == [
        (row["scan"], "assft", None) for row in rows[:2]
    ]
    assert entries[0].score == pytest.approx(float(rows[0]["score"]), rel=1e-5)
    run(NAME, "query", query_settings)
    assert Ledger(output / "ledger.json").entries == entries

    flow = run(NAME, "train", train_settings)
    assert not flow.check_properties()
    rounds = Ledger(output).trust_entries
    assert [(selection.round, selection.iteration) for selection in rounds] == [(1, 2), (2, 4)]
    store = AnnotationStore(output)
    labelled = {entry.scan for entry in entries}
    assert rounds[-1].scans.keys() == {scan.id for scan in cohort.training} - labelled
    for scan in cohort.training:
        pseudo_label = store.read("pseudo_label", scan.id)
        if scan.id in rounds[-1].selected:
            assert set(np.unique(pseudo_label)) <= {0, 1, 255}
        else:
            assert pseudo_label is None or (pseudo_label == 255).all()

    kept = common_settings | {"dataset_dir": str(cohort_dir)}
    run(NAME, "evaluate", {**kept, "split": "test"})
    assert json.loads((output / "evaluation" / "metrics.json").read_text())["scans"] == len(cohort.test)
    flow = run(NAME, "inference", kept)
    assert not flow.check_properties()
    assert (
        nib.load(output / "predictions" / f"{cohort.test[0].id}_seg.nii.gz").shape
        == nib.load(cohort.test[0].image).shape
    )


def test_intensities_vary_while_annotations_and_places_stay(common_settings, cohort_dir):
    settings = {**common_settings, "dataset_dir": str(cohort_dir), "augmentation": False}
    image = torch.randn(1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    annotation = (image > 0.5).to(torch.uint8)

    def seen(**switched):
        flow = workflow(NAME, "train", settings | switched)
        _, *steps = flow.parser.get_parsed_content("train#random_transforms")
        item = {"image": image, "annotation": annotation, "pseudo_label": torch.full_like(annotation, 255)}
        return Compose(steps).set_random_state(seed=1)(item)

    assert torch.equal(seen(intensity_augmentation=False)["image"], image)
    varied = seen()
    assert torch.equal(varied["annotation"], annotation)
    assert spearmanr(varied["image"].flatten(), image.flatten()).statistic > 0.95
    assert 0.7 * 0.9 < varied["image"].std() < 1.4 * 1.1
    assert not torch.allclose(varied["image"], image, atol=0.05)
    turned = seen(augmentation=True, intensity_augmentation=False)
    assert not torch.equal(turned["image"], image)
    assert torch.equal(turned["image"] > 0.5, turned["annotation"] == 1)


def test_alone_it_pretrains_and_queries_and_says_so(train_settings, capsys):
    del train_settings["pretrained"]
    small = {f"pretrain_settings#{name}": number for name, number in SMALL_SOURCE.items()}
    flow = workflow(NAME, "train", train_settings | small)
    flow.initialize()
    output = Path(train_settings["output_dir"])
    made = {path.name for path in output.iterdir()}
    assert made <= {".run.lock", ".run.json", "cohort.json"}, "a config that is only described makes no result"
    flow.run()
    printed = capsys.readouterr().out
    assert "WARNING - NO PRE-TRAINED MODEL GIVEN" in printed and "WARNING - NO SCAN IS LABELLED" in printed
    assert len(Ledger(output / "ledger.json").entries) == 2
    assert torch.load(output / "checkpoint.pt", weights_only=True)["iteration"] == train_settings["max_iterations"]


def test_student_and_teacher_start_from_the_pretrained_weights(train_settings, pretrained):
    flow = workflow(NAME, "train", train_settings)
    flow.initialize()
    assert not flow.check_properties(), "which makes the trainer before the weights are known"
    weights, started = torch.load(pretrained, weights_only=True), []

    def compare(engine):
        for found in (engine.network.state_dict(), engine.teacher.ema_model.state_dict()):
            assert found.keys() == weights.keys()
            assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())
        started.append(engine)

    flow.parser.get_parsed_content("train#trainer").add_event_handler(Events.STARTED, compare)
    flow.run()
    assert started


def test_a_pre_training_that_was_stopped_leaves_no_model(common_settings):
    settings = common_settings | SMALL_SOURCE
    output = Path(settings["output_dir"])
    flow = workflow(NAME, "pretrain", settings)
    flow.initialize()
    trainer = flow.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=3), lambda: trainer.terminate())
    flow.run()
    assert (output / "source" / "best.pt").exists() and not (output / "pretrained.pt").exists()
    run(NAME, "pretrain", settings)
    assert (output / "pretrained.pt").exists() and not (output / "source" / "best.pt").exists()
    run(NAME, "pretrain", settings)
    assert (output / "pretrained.pt").exists()


@pytest.mark.parametrize(("changes", "share"), [({}, 2 / 3), ({"copy_paste": 0.5}, 0.5), ({"copy_paste": 0}, None)])
def test_boxes_are_exchanged_unless_they_have_no_side(changes, share, train_settings):
    trainer = workflow(NAME, "train", train_settings | changes).parser.get_parsed_content("train#trainer")
    assert (trainer.mix and (trainer.mix.share, trainer.mix.batch_labelled)) == (share and (share, 2))


@pytest.mark.parametrize(("iterations", "due"), [(2000, [1000, 1200, 1400, 1600, 1800]), (5, [2]), (1, [])])
def test_the_first_half_of_the_training_is_with_annotations_alone(iterations, due, train_settings):
    few = {"max_iterations": iterations, "round_interval": 200}
    kept = {name: setting for name, setting in train_settings.items() if name != "first_round"}
    rounds = workflow(NAME, "train", kept | few).parser.get_parsed_content("train#pool#rounds")
    assert [iteration for iteration in range(1, iterations + 1) if rounds.due(iteration)] == due


def test_resumed_run_equals_the_uninterrupted_one(train_settings):
    changes = {"freeze_encoder": True, "consistency": 0.1}
    settings = {**train_settings, "checkpoint_interval": 1, **changes}
    whole = {**settings, "output_dir": settings["output_dir"] + "_whole"}
    run(NAME, "train", whole)
    flow = workflow(NAME, "train", settings)
    flow.initialize()
    flow.parser.get_parsed_content("train#trainer").add_event_handler(Events.ITERATION_STARTED(once=4), stop)
    with refused(Stop):
        flow.run()
    run(NAME, "train", settings)
    expected, found = (
        torch.load(Path(it["output_dir"]) / "checkpoint.pt", weights_only=True)["objects"] for it in (whole, settings)
    )
    for kind in ("student", "teacher"):
        for name, tensor in expected[kind].items():
            assert torch.equal(found[kind][name], tensor), name
    before = torch.load(settings["pretrained"], weights_only=True)
    for name, tensor in found["student"].items():
        if name.startswith("model.0.") and name.endswith(("weight", "bias")):
            assert torch.equal(tensor, before[name]), name
    selections = [Ledger(it["output_dir"]).trust_entries for it in (whole, settings)]
    assert len(selections[0]) == 2 and selections[0] == selections[1]


@pytest.mark.parametrize("stage", ["pretrain", "train"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network_def": SWIN, "roi_size": [64, 48, 32]}, "roi_size [64, 48, 32] and channels 1: spatial dim"),
        ({"channels": 4, "network_def": {**NETWORK, "in_channels": 4}}, "with 4 channels, found shape"),
    ],
)
def test_images_that_the_network_cannot_take_are_named_before_any_training(
    stage, changes, message, common_settings, cohort_dir
):
    settings = {**common_settings, "dataset_dir": str(cohort_dir), **changes}
    with refused(ValueError, message):
        workflow(NAME, stage, settings).initialize()
    assert not Path(settings["output_dir"]).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": "entropie"}, "query must be one of assft, her, he, lc"),
        ({"budget": 99}, "budget must lie in 1..6, the training scans, got 99"),
        ({"annotator": "nobody"}, "annotator must be one of oracle, folder, datalist, ledger, got 'nobody'"),
        ({"encoder": "swinViT"}, "encoder must be a part of UNet (model) or None, got 'swinViT'"),
        ({"confidence_quantile": 50}, "confidence_quantile must be a number from 0 to 1, got 50"),
        ({"largest_volumes": 0}, "largest_volumes must be a whole number of at least 1, or None, got 0"),
        ({"copy_paste": 1.0}, "copy_paste must be a number of at least 0 and below 1, got 1.0"),
        ({"copy_paste": -0.5}, "copy_paste must be a number of at least 0 and below 1, got -0.5"),
    ],
)
def test_bad_settings_are_named_before_any_training(changes, message, train_settings):
    with refused(ValueError, message):
        workflow(NAME, "train", train_settings | {"pretrained": None} | changes).initialize()
    assert not Path(train_settings["output_dir"]).exists()


def test_images_of_four_channels(train_settings, query_settings, cohort_dir, tmp_path):
    folder = copies(cohort_dir, tmp_path / "four", lambda image: np.stack([image] * 4, axis=-1), range(4))
    for stage, settings in (("query", query_settings), ("train", train_settings)):
        with refused(ValueError, "0.nii.gz: expected a 3D volume with 1 channel, found shape (32, 32, 32, 4) with 4"):
            workflow(NAME, stage, settings | {"dataset_dir": folder}).initialize()
    weights = torch.load(train_settings["pretrained"], weights_only=True)
    of_four = {name: it.repeat(1, 4, 1, 1, 1) if it.shape == (4, 1, 3, 3, 3) else it for name, it in weights.items()}
    torch.save(of_four, tmp_path / "four.pt")
    settings = train_settings | {"dataset_dir": folder, "channels": 4, "pretrained": str(tmp_path / "four.pt")}
    run(NAME, "train", settings)
    assert (Path(settings["output_dir"]) / "model.pt").exists()


@pytest.mark.parametrize("stage", ["evaluate", "inference"])
def test_weights_and_images_that_do_not_fit_a_trained_network(stage, common_settings, cohort_dir, pretrained, tmp_path):
    settings = common_settings | {"dataset_dir": str(cohort_dir), "checkpoint": pretrained}
    with refused(ValueError, "does not fit UNet"):
        workflow(NAME, stage, settings | {"network_def": {**NETWORK, "channels": [4, 16]}}).initialize()
    if stage == "inference":
        (tmp_path / "scans").mkdir()
        whole = Cohort.open(cohort_dir).training[0].image
        for name, content in (("a", whole.read_bytes()[:2000]), ("b", b"scan"), ("c", whole.read_bytes())):
            (tmp_path / "scans" / f"{name}.nii.gz").write_bytes(content)
        with refused(ValueError, "2 problems"):
            workflow(NAME, stage, settings | {"dataset_dir": str(tmp_path / "scans")}).initialize()


@pytest.mark.slow
def test_two_processes_share_the_training(train_settings, query_settings, cohort_dir):
    run(NAME, "query", query_settings)
    output, configs = Path(query_settings["output_dir"]), ROOT / "bundles" / NAME / "configs"
    settings = {
        **train_settings,
        "config_file": [str(configs / "train.json"), str(configs / "multi_gpu_train.json")],
        "bundle_root": str(configs.parent),
        "device": "$torch.device('cpu')",
        "freeze_encoder": True,
    }
    words = [word for name, setting in settings.items() for word in (f"--{name}", str(setting))]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle"]
    finished = subprocess.run([*launch, "run", "training", *words], cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-3000:]
    last = Ledger(output).trust_entries[-1]
    assert len(last.scans) == len(Cohort.open(cohort_dir).training) - 2
    assert (output / "model.pt").exists()
