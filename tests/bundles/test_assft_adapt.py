"""The adaptation bundle's own configs, at the size of seconds."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.networks.nets import UNet
from monai.transforms import Compose
from scipy import ndimage
from scipy.stats import spearmanr

from common.annotations import AnnotationStore, Ledger
from common.cohort import Cohort, write_datalist
from common.query.one_shot import PoolAssessment
from tests.bundles.conftest import ROOT, run, workflow
from tests.bundles.test_fmabs import Stop, refused, stop

NAME = "assft_adapt"
NETWORK = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": "@channels",
    "out_channels": "@num_classes",
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
}
SWIN = {"_target_": "SwinUNETR", "in_channels": 1, "out_channels": 2, "window_size": 4, "feature_size": 12}
SMALL_SOURCE = {"max_iterations": 4, "val_interval": 2, "warm_up": 1, "phantom_scans": 3, "phantom_size": 32}


@pytest.fixture
def common_settings(tmp_path):
    return {
        "output_dir": str(tmp_path / "run"),
        "device": "cpu",
        "roi_size": [32, 32, 32],
        "stride": [32, 32, 32],
        "precision": "fp32",
        "network_def": NETWORK,
    }


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory):
    """The first stage's model."""
    folder = tmp_path_factory.mktemp("pretrained")
    settings = {"device": "cpu", "roi_size": [32, 32, 32], "stride": [32, 32, 32], "precision": "fp32"}
    run(NAME, "pretrain", {**settings, **SMALL_SOURCE, "output_dir": str(folder), "network_def": NETWORK})
    return str(folder / "pretrained.pt")


@pytest.fixture
def query_settings(common_settings, cohort_dir, pretrained):
    return {**common_settings, "dataset_dir": str(cohort_dir), "pretrained": pretrained, "budget": 2}


@pytest.fixture
def train_settings(query_settings):
    few = {"max_iterations": 6, "val_interval": 3, "first_round": 2, "round_interval": 2, "warm_up": 2}
    return {**query_settings, **few, "encoder": "model.0"}


def table(settings):
    with (Path(settings["output_dir"]) / "query.csv").open() as file:
        return list(csv.DictReader(file))


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


def test_largest_components_alone_are_predicted_and_scored(common_settings, cohort_dir, tmp_path):
    torch.manual_seed(0)
    network = UNet(3, 1, 2, channels=[4, 8], strides=[2], norm="batch")
    torch.save(network.state_dict(), tmp_path / "untrained.pt")
    kept = {**common_settings, "dataset_dir": str(cohort_dir), "checkpoint": str(tmp_path / "untrained.pt")}
    for name, largest_volumes in (("all", None), ("two", 2)):
        settings = {**kept, "largest_volumes": largest_volumes}
        run(NAME, "inference", {**settings, "prediction_dir": str(tmp_path / name)})
        run(NAME, "evaluate", {**settings, "split": "test", "evaluation_dir": str(tmp_path / name)})
    dice = {row["scan"]: float(row["dice"]) for row in csv.DictReader((tmp_path / "two" / "metrics.csv").open())}
    for scan in Cohort.open(cohort_dir).test:
        everything, two = (
            nib.load(tmp_path / name / f"{scan.id}_seg.nii.gz").get_fdata() == 1 for name in ("all", "two")
        )
        components, number = ndimage.label(everything, np.ones((3, 3, 3)))
        sizes = np.bincount(components.flat)[1:]
        assert number > 2 and len(set(sizes)) > 2
        np.testing.assert_array_equal(two, np.isin(components, 1 + np.argsort(sizes)[-2:]))
        label = nib.load(scan.label).get_fdata() == 1
        assert dice[scan.id] == pytest.approx(2 * (two & label).sum() / (two.sum() + label.sum()), abs=1e-6)


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
    small = ", ".join(f"{name}={number}" for name, number in SMALL_SOURCE.items())
    flow = workflow(NAME, "train", train_settings)
    given = flow.parser.get("pretrain_settings")
    flow.parser["pretrain_settings"] = f"{given[:-1]}, {small})"
    flow.parser["query_settings"] = "$dict({k: v for k, v in @pretrain_settings.items() if k in KEPT}, ".replace(
        "KEPT", "('device', 'seed', 'channels', 'roi_size', 'stride', 'precision')"
    ) + flow.parser.get("query_settings").removeprefix("$dict(@pretrain_settings, ")
    flow.initialize()
    printed = capsys.readouterr().out
    assert "WARNING - NO PRE-TRAINED MODEL GIVEN" in printed and "WARNING - NO SCAN IS LABELLED" in printed
    output = Path(train_settings["output_dir"])
    weights = torch.load(output / "pretrained.pt", weights_only=True)
    network = flow.parser.get_parsed_content("network_def")
    teacher = flow.parser.get_parsed_content("teacher").ema_model
    for found in (network.state_dict(), teacher.state_dict()):
        assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())
    assert len(Ledger(output / "ledger.json").entries) == 2


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": "he"}, "round_00.json: expected a request by the query he, found one by random"),
        ({"budget": 3}, "budget must be 2, the scans that annotations were asked for, got 3"),
    ],
)
def test_a_pending_request_is_not_taken_for_that_of_another_query(change, message, query_settings):
    settings = query_settings | {"annotator": "folder", "query": "random"}
    run(NAME, "query", settings)
    with refused(ValueError, message):
        run(NAME, "query", settings | change)


def test_an_interrupted_query_goes_on(query_settings, monkeypatch):
    whole = {**query_settings, "output_dir": query_settings["output_dir"] + "_whole"}
    run(NAME, "query", whole)
    assess, calls = PoolAssessment.assess, []

    def interrupted(self, image):
        calls.append(image)
        if len(calls) == 3:
            raise Stop
        return assess(self, image)

    monkeypatch.setattr(PoolAssessment, "assess", interrupted)
    with refused(Stop):
        run(NAME, "query", query_settings)
    run(NAME, "query", query_settings)
    assert len(calls) == len(table(query_settings)) + 1
    assert table(query_settings) == table(whole)


@pytest.mark.parametrize("name", ["assft", "foreground_random"])
def test_pauses_for_people_and_goes_on(name, train_settings, query_settings, cohort_dir):
    for settings in (query_settings, train_settings):
        settings |= {"annotator": "folder", "query": name}
    run(NAME, "query", query_settings)
    output = Path(query_settings["output_dir"])
    assert not Ledger(output / "ledger.json").entries
    with refused(ValueError, "expected annotated scans, found none; draw"):
        workflow(NAME, "train", train_settings).initialize()
    request = json.loads((output / "requests" / "round_00.json").read_text())
    labels = {scan.id: scan.label for scan in Cohort.open(cohort_dir).training}
    for asked in request["scans"]:
        assert asked["slices"] == []
        nib.save(nib.load(labels[asked["scan"]]), asked["draw_in"])
    run(NAME, "query", query_settings)
    entries = Ledger(output / "ledger.json").entries
    assert [entry.scan for entry in entries] == [row["scan"] for row in table(query_settings)[:2]]
    assert {entry.annotator for entry in entries} == {"folder"} and all(entry.slices is None for entry in entries)


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
    settings = {**train_settings, "train#handlers#2#every": 1, **changes}
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": 99}, "budget must lie in 1..6, the scans of the pool, got 99"),
        ({"budget": 0}, "got 0"),
        ({"pretrained": "nowhere.pt"}, "nowhere.pt: expected the weights"),
        ({"pretrained": "swin_unetr_ssl"}, "no weights of swin_unetr_ssl"),
        ({"network_def": {**NETWORK, "channels": [4, 16]}}, "of another shape: model"),
        ({"channels": 4}, ".nii.gz: expected a 3D volume with 4 channels, found shape (32, 32, 32) with 1"),
        ({"roi_size": [30, 32, 32]}, "divisible by 16, got"),
        ({"network_def": SWIN, "roi_size": [64, 48, 32]}, "found roi_size [64, 48, 32] and channels 1: spatial dim"),
        ({"query": "entropie"}, "query must be one of assft, lc, he, her, random, foreground_random, coreset"),
        ({"annotator": "nobody"}, "annotator must be one of oracle, folder, got 'nobody'"),
    ],
)
def test_bad_settings_are_named_before_the_query(changes, message, query_settings, monkeypatch, tmp_path):
    monkeypatch.setenv("LABEL_EFFICIENT_WEIGHTS", str(tmp_path))
    with refused(Exception, message):
        workflow(NAME, "query", query_settings | changes).initialize()


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
        ({"query": "entropie"}, "query must be one of assft, lc, he"),
        ({"budget": 99}, "budget must lie in 1..6, the scans of the pool, got 99"),
        ({"annotator": "nobody"}, "annotator must be one of oracle, folder, got 'nobody'"),
        ({"encoder": "swinViT"}, "encoder must be a part of UNet (model) or None, got 'swinViT'"),
        ({"confidence_quantile": 50}, "confidence_quantile must lie in 0..1, got 50"),
        ({"largest_volumes": 0}, "largest_volumes must be a whole number of at least 1 (or None), got 0"),
        ({"copy_paste": 1.0}, "copy_paste must be at least 0 and below 1, got 1.0"),
        ({"copy_paste": -0.5}, "copy_paste must be at least 0 and below 1, got -0.5"),
    ],
)
def test_bad_settings_are_named_before_any_training(changes, message, train_settings):
    with refused(ValueError, message):
        workflow(NAME, "train", train_settings | {"pretrained": None} | changes).initialize()
    assert not Path(train_settings["output_dir"]).exists()


@pytest.mark.parametrize("name", ["he", "random", "coreset"])
def test_another_query_is_one_setting(name, query_settings):
    settings = query_settings | {"query": name}
    run(NAME, "query", settings)
    rows = table(settings)
    assert list(rows[0]) == ["scan", "score", "chosen"]
    assert [row["chosen"] for row in rows] == ["1", "2", "0", "0", "0", "0"]
    if name == "he":
        scores = [float(row["score"]) for row in rows]
        assert scores == sorted(scores, reverse=True) and 0 < scores[-1] < scores[0] < 1
    ledger = Path(settings["output_dir"]) / "ledger.json"
    assert [(entry.scan, entry.strategy) for entry in Ledger(ledger).entries] == [
        (row["scan"], name) for row in rows[:2]
    ]
    with refused(ValueError, f"ledger.json: expected scans chosen by assft, found those of {name}"):
        workflow(NAME, "query", query_settings).initialize()


def test_training_queries_by_the_same_strategy_and_keeps_to_its_budget(train_settings, query_settings, capsys):
    settings = train_settings | {"query": "random"}
    workflow(NAME, "train", settings).initialize()
    alone = query_settings | {"query": "random", "output_dir": settings["output_dir"] + "_alone"}
    run(NAME, "query", alone)
    assert table(settings) == table(alone)
    for stage in ("query", "train"):
        with refused(ValueError, "ledger.json: expected 3 annotated scans, as budget says, found 2"):
            workflow(NAME, stage, settings | {"budget": 3}).initialize()
    capsys.readouterr()
    workflow(NAME, "train", train_settings).initialize()
    assert "THE SCANS WERE CHOSEN BY random; query assft is not made" in capsys.readouterr().out


def copies(cohort_dir, folder, change, sources):
    """A cohort of changed copies of training scans, all of them labelled and to train on."""
    cohort, items = Cohort.open(cohort_dir), []
    folder.mkdir()
    for place, source in enumerate(sources):
        scan = cohort.training[source]
        image = nib.load(scan.image)
        nib.save(nib.Nifti1Image(change(image.get_fdata(dtype=np.float32)), image.affine), folder / f"{place}.nii.gz")
        items.append({"image": f"{place}.nii.gz", "label": str(scan.label)})
    write_datalist(folder, name="copies", labels=cohort.labels, splits={"training": items})
    return str(folder)


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


@pytest.mark.parametrize("name", ["assft", "coreset"])
def test_identical_scans_without_foreground_are_chosen_by_name(name, query_settings, cohort_dir, tmp_path, capsys):
    folder = copies(cohort_dir, tmp_path / "same", lambda image: image, [0, 0, 0, 0])
    weights = torch.load(query_settings["pretrained"], weights_only=True)
    torch.save({name: torch.zeros_like(it) for name, it in weights.items()}, tmp_path / "blind.pt")
    settings = query_settings | {"dataset_dir": folder, "pretrained": str(tmp_path / "blind.pt"), "query": name}
    run(NAME, "query", settings)
    assert [(row["scan"], row["chosen"]) for row in table(settings)] == [("0", "1"), ("1", "2"), ("2", "0"), ("3", "0")]
    printed = capsys.readouterr().out
    assert "NO FOREGROUND IS PREDICTED in any of 4 scans" in printed
    assert "ALL 4 SCANS ARE ALIKE to the model" in printed


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


def test_features_of_a_layer_that_is_not_there(query_settings):
    with refused(Exception, "feature_layer must be a layer of UNet"):
        run(NAME, "query", query_settings | {"feature_layer": "bottleneck"})


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
