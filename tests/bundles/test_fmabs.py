"""The FM-ABS bundles' own configs, at the size of seconds."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser

from common.annotations import AnnotationStore, Ledger
from common.cohort import Cohort, Scan
from common.commands.bundles import run_workflow
from common.generalists import SamGeneralist, announce_generalist
from common.generalists.sam.models import KINDS, SamKind, build_vit_sam
from common.handlers import ActiveQueryHandler, PoolScan, read_log
from common.query import strategy
from tests.bundles.turns import assert_turned_and_mirrored
from tests.bundles.workflows import ROOT, Stop, refused, run, stop, workflow
from tests.handlers.test_active_query import Annotator

BUNDLES = ("fmabs_la", "fmabs_brats")


@pytest.mark.parametrize("bundle", BUNDLES)
def test_trains_evaluates_and_infers(bundle, small_settings, cohort_dir):
    flow = run(bundle, "train", small_settings)
    assert not flow.check_properties()
    output = Path(small_settings["output_dir"])
    cohort = Cohort.open(cohort_dir)
    ledger = Ledger(output / "ledger.json")
    assert [entry.round for entry in ledger.entries] == [0, 1, 2]
    assert [entry.strategy for entry in ledger.entries] == ["random", "her", "her"]
    assert [entry.iteration for entry in ledger.entries] == [0, 3, 6]
    assert set(ledger.labelled) <= {scan.id for scan in cohort.training}
    for scan in cohort.training:
        assert (output / "pseudo_label" / f"{scan.id}.nii").exists()
    for entry in ledger.entries:
        annotation = np.asarray(nib.load(output / "annotation" / f"{entry.scan}.nii").dataobj)
        pseudo_label = np.asarray(nib.load(output / "pseudo_label" / f"{entry.scan}.nii").dataobj)
        assert np.count_nonzero(annotation != 255) == entry.voxels
        if entry.round < 2:
            known = annotation != 255
            np.testing.assert_array_equal(pseudo_label[known], annotation[known])
    log = read_log(output / "log.jsonl")
    assert [line["iteration"] for line in log if line["kind"] == "validation"] == [4, 8]
    assert [line["iteration"] for line in log if line["kind"] == "round"] == [3, 6]

    kept = {key: small_settings[key] for key in ("output_dir", "device", "roi_size", "stride", "network_def#width")}
    run(bundle, "evaluate", {**kept, "dataset_dir": str(cohort_dir), "split": "test"})
    metrics = json.loads((output / "evaluation" / "metrics.json").read_text())
    assert {"dice", "jaccard", "hd95_voxel", "hd95_mm", "asd_voxel", "asd_mm"} <= set(metrics["mean"])

    own = {key: small_settings[key] for key in ("output_dir", "device")}
    for extra in ({}, {"spacing": [3.0, 2.0, 2.5], "prediction_dir": str(output / "resampled")}):
        flow = run(bundle, "inference", {**own, "dataset_dir": str(cohort_dir), **extra})
        assert not flow.check_properties()
    for scan in cohort.test:
        image = nib.load(scan.image)
        for folder in ("predictions", "resampled"):
            prediction = nib.load(output / folder / f"{scan.id}_seg.nii.gz")
            assert prediction.shape == image.shape
            np.testing.assert_allclose(prediction.affine, image.affine, atol=1e-4)
            assert set(np.unique(prediction.dataobj)) <= {0, 1}


def weights(settings):
    content = torch.load(Path(settings["output_dir"]) / "checkpoint.pt", weights_only=True)
    return {**content["objects"]["student"], **{f"teacher.{k}": v for k, v in content["objects"]["teacher"].items()}}


def test_images_read_from_disk_give_the_same_weights(small_settings, tmp_path, monkeypatch):
    run("fmabs_la", "train", small_settings)
    monkeypatch.setattr("common.annotations.scan_dataset.memory_at_hand", lambda: 0)
    from_disk = {**small_settings, "output_dir": str(tmp_path / "from_disk")}
    run("fmabs_la", "train", from_disk)
    one, other = weights(small_settings), weights(from_disk)
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("event", "iteration"),
    [(Events.ITERATION_STARTED, 2), (Events.ITERATION_STARTED, 4), (Events.ITERATION_COMPLETED, 5), ("visit", 6)],
)
def test_resumed_run_equals_the_uninterrupted_one(event, iteration, small_settings, tmp_path):
    settings = {**small_settings, "checkpoint_interval": 2}
    whole = {**settings, "output_dir": str(tmp_path / "whole")}
    run("fmabs_la", "train", whole)

    flow = workflow("fmabs_la", "train", settings)
    flow.initialize()
    trainer = flow.parser.get_parsed_content("train#trainer")
    if event == "visit":
        pool = flow.parser.get_parsed_content("train#pool")
        visits = []

        def visit(scan):
            visits.append(scan)
            if len(visits) > len(pool.dataset) + 2:
                raise Stop

        pool.listen(type("Stopper", (), {"begin": lambda *_: None, "visit": lambda _, s: visit(s), "end": print})())
    else:
        trainer.add_event_handler(event(once=iteration), stop)
    with refused(Stop):
        flow.run()
    run("fmabs_la", "train", settings)

    expected, found = weights(whole), weights(settings)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    ledgers = [Ledger(Path(s["output_dir"]) / "ledger.json").entries for s in (whole, settings)]
    assert [(e.scan, e.round, e.score) for e in ledgers[0]] == [(e.scan, e.round, e.score) for e in ledgers[1]]
    model = [torch.load(Path(s["output_dir"]) / "model.pt", weights_only=True) for s in (whole, settings)]
    assert all(torch.equal(model[0][name], model[1][name]) for name in model[0])


@pytest.mark.parametrize(("bundle", "budget", "rounds"), [("fmabs_la", 20, 8), ("fmabs_brats", 25, 10)])
@pytest.mark.parametrize("length", [None, 2000, 14])
@pytest.mark.parametrize("name", ["train", "ours"])
def test_the_whole_budget_is_spent(name, length, bundle, budget, rounds, tmp_path):
    """The default settings' own rounds and query, at every length of training, without a training."""
    parser = ConfigParser()
    parser.read_config([ROOT / "bundles" / bundle / "configs" / f"{file}.json" for file in {"train": 0, name: 0}])
    if length:
        parser["max_iterations"] = length
    found = parser.get_parsed_content("train#query_rounds")
    assert found.count == (rounds if name == "train" else -(-(budget - round(0.4 * budget)) // 4))
    query = ActiveQueryHandler(
        SimpleNamespace(features=False),
        strategy=strategy("her"),
        annotator=Annotator(),
        ledger=Ledger(tmp_path / "ledger.json"),
        store=AnnotationStore(tmp_path),
        scans=[Scan(f"scan_{number:02d}", tmp_path / "none.nii") for number in range(40)],
        budget=parser.get_parsed_content("budget"),
        initial=parser.get_parsed_content("train#initial"),
        per_round=parser.get_parsed_content("per_round"),
    )
    engine = SimpleNamespace(state=SimpleNamespace(iteration=0), max_iterations=found.max_iterations)
    query.start(engine)
    for iteration in range(1, found.max_iterations + 1):
        if found.due(iteration):
            engine.state.iteration = iteration
            query.begin(engine, found.number(iteration))
            for scan in query.scans:
                probabilities = torch.rand(2, 2, 2, 2).softmax(0)
                query.visit(PoolScan(probabilities, None, scan=scan, image=torch.zeros(1), affine=torch.eye(4)))
            query.end(engine, found.number(iteration))
    assert query.ledger.budget_used == budget
    assert max(entry.iteration for entry in query.ledger.entries) < found.max_iterations


@pytest.mark.parametrize(("bundle", "pixels_per_mm"), [("fmabs_la", 1 / 0.625), ("fmabs_brats", 1.0)])
def test_boxes_grow_by_up_to_ten_pixels_of_the_papers_spacing(bundle, pixels_per_mm):
    parser = ConfigParser()
    parser.read_config(ROOT / "bundles" / bundle / "configs" / "train.json")
    assert [millimetres * pixels_per_mm for millimetres in parser.get_parsed_content("widen_mm")] == [0, 10]


def test_queries_score_the_student_and_prompts_come_from_the_teacher(small_settings):
    for network in ("student", "teacher"):
        flow = workflow("fmabs_la", "train", {**small_settings, "query_network": network})
        flow.initialize()
        find = flow.parser.get_parsed_content
        student, teacher = find("network"), find("teacher").ema_model
        assert find("train#query_pool").network is {"student": student, "teacher": teacher}[network]
        assert find("train#pool").network is teacher and student is not teacher


def test_only_the_size_of_a_patch_is_given(small_settings):
    """The stride of inference follows; it is 64 for the paper's 96."""
    for bundle, stride in (("fmabs_la", [16, 16, 16]), ("fmabs_brats", [21, 21, 21])):
        settings = {key: value for key, value in small_settings.items() if key != "stride"}
        assert workflow(bundle, "train", settings).parser.get_parsed_content("stride") == stride
    run("fmabs_brats", "train", {**settings, "max_iterations": 4, "output_dir": settings["output_dir"] + "_brats"})
    parser = ConfigParser()
    parser.read_config(ROOT / "bundles" / "fmabs_brats" / "configs" / "train.json")
    assert parser.get_parsed_content("stride") == [64, 64, 64]


def test_ours_trains(small_settings):
    """The overlay on top of the paper's method: its pseudo-labels abstain, and annotated scans are propagated."""
    short = {"budget": 3, "initial_share": 0.34, "per_round": 2, "pseudo_label_rounds": 1}
    for bundle in BUNDLES:
        folder = Path(small_settings["output_dir"]) / bundle
        settings = {"query_span": [0.3, 0.3], "pseudo_label_span": [0.5, 0.5], "output_dir": str(folder)}
        configs = ["train", ROOT / "bundles" / bundle / "configs" / "ours.json"]
        run_workflow(ROOT / "bundles" / bundle, configs, {**small_settings, **short, **settings})
        for entry in Ledger(folder / "ledger.json").entries:
            annotation = np.asarray(nib.load(folder / "annotation" / f"{entry.scan}.nii").dataobj)
            label = np.asarray(nib.load(folder / "pseudo_label" / f"{entry.scan}.nii").dataobj)
            assert (label[annotation != 255] == annotation[annotation != 255]).all()


def test_propagated_labels_are_kept(small_settings):
    run("fmabs_la", "train", {**small_settings, "propagate": True, "fusion": "mean"})
    output = Path(small_settings["output_dir"])
    for entry in Ledger(output / "ledger.json").entries:
        annotation = np.asarray(nib.load(output / "annotation" / f"{entry.scan}.nii").dataobj)
        pseudo_label = np.asarray(nib.load(output / "pseudo_label" / f"{entry.scan}.nii").dataobj)
        known = annotation != 255
        np.testing.assert_array_equal(pseudo_label[known], annotation[known])


@pytest.mark.parametrize("query", ["coreset", "clasp_pe"])
def test_another_query_is_one_setting(query, small_settings):
    run("fmabs_la", "train", {**small_settings, "query": query})
    entries = Ledger(Path(small_settings["output_dir"]) / "ledger.json").entries
    assert [entry.strategy for entry in entries] == ["random", query, query]


def test_another_generalist_is_one_setting(small_settings, tmp_path, monkeypatch):
    """With a small SAM in MobileSAM's place, and everything that a SAM can be given."""
    torch.manual_seed(0)
    monkeypatch.setitem(KINDS, "mobile_sam", SamKind(lambda: build_vit_sam(32, 1, 2, (0,), 64)))
    checkpoint, cache = tmp_path / "small.pt", tmp_path / "cache"
    torch.save(KINDS["mobile_sam"].build().state_dict(), checkpoint)
    passes = []
    encode = SamGeneralist._encode
    monkeypatch.setattr(SamGeneralist, "_encode", lambda *of: passes.extend(of[2].tolist()) or encode(*of))
    sam = {"generalist": "mobile_sam", "generalist_checkpoint": str(checkpoint), "slices_per_pass": 4}
    options = {"embedding_cache": str(cache), "prototypes": True, "denoise": True}
    run("fmabs_la", "train", {**small_settings, **sam, **options, "max_iterations": 7})

    scans = Cohort.open(small_settings["dataset_dir"]).training
    assert len(list(cache.iterdir())) == 3 * len(scans)
    # 32 slices in grids of four are eight passes a view: none was made twice, though there were two rounds.
    assert 0 < len(passes) <= 3 * 8 * len(scans)
    for scan in scans:
        label = np.asarray(nib.load(Path(small_settings["output_dir"]) / "pseudo_label" / f"{scan.id}.nii").dataobj)
        assert set(np.unique(label)) <= {0, 1, 255}


@pytest.mark.slow
def test_two_processes_share_the_pool(cohort_dir, tmp_path):
    configs = ROOT / "bundles" / "fmabs_la" / "configs"
    files = f"['{configs / 'train.json'}','{configs / 'multi_gpu_train.json'}']"
    settings = {
        "config_file": files,
        "bundle_root": configs.parent,
        "dataset_dir": cohort_dir,
        "output_dir": tmp_path,
        "device": "$torch.device('cpu')",
        "roi_size": "[32,32,32]",
        "stride": "[16,16,16]",
        "max_iterations": 4,
        "val_interval": 2,
        "query_span": "[0.5,0.75]",
        "pseudo_label_span": "[0.5,0.5]",
        "pseudo_label_rounds": 1,
        "budget": 3,
        "initial_share": 0.34,
        "per_round": 1,
        "precision": "fp32",
        "network_def#width": 2,
    }
    words = [word for name, setting in settings.items() for word in (f"--{name}", str(setting))]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle"]
    finished = subprocess.run([*launch, "run", "training", *words], cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert [entry.round for entry in Ledger(tmp_path / "ledger.json").entries] == [0, 1, 2]
    assert len(list((tmp_path / "pseudo_label").iterdir())) == len(Cohort.open(cohort_dir).training)
    assert (tmp_path / "model.pt").exists()


def test_a_finished_run_is_left_as_it_is(small_settings):
    run("fmabs_la", "train", small_settings)
    before = weights(small_settings)
    run("fmabs_la", "train", small_settings)
    after = weights(small_settings)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_other_settings_do_not_go_on_from_a_checkpoint(small_settings):
    run("fmabs_la", "train", small_settings)
    flow = workflow("fmabs_la", "train", {**small_settings, "max_iterations": 9})
    flow.initialize()
    with refused(ValueError, "max_iterations: 8 then, 9 now"):
        flow.run()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": 60, "max_iterations": 200}, "budget 60 and"),
        ({"max_iterations": 2}, "max_iterations must be at least 3 for 2 query rounds, got 2"),
        (
            {"budget": 1, "max_iterations": 2},
            "max_iterations must be at least 3 for 2 rounds of pseudo-labels (pseudo_label_rounds), got 2",
        ),
        ({"query_span": [0.5, 0.1]}, "the span of the query rounds must be two shares of the training"),
        ({"query_network": "both"}, "query_network must be one of student, teacher, got 'both'"),
        ({"propagate": "maybe"}, "propagate must be True or False (or 1 or 0), got 'maybe'"),
        ({"roi_size": [30, 32, 32]}, "divisible by 16, got"),
        ({"query": "entropie"}, "foreground_random"),
        ({"stride": [40, 16, 16]}, "stride must lie in 1..roi_size"),
        ({"generalist": "sam"}, "generalist must be one of embedded, mobile_sam"),
        ({"generalist": "mobile_sam", "generalist_checkpoint": "nowhere.pt"}, "nowhere.pt: no such checkpoint"),
        ({"slices_per_pass": 4}, "slices_per_pass and embedding_cache are for the SAM family"),
        ({"dataset_dir": "nowhere"}, "nowhere: expected a cohort's folder"),
    ],
)
def test_bad_settings_are_named_before_training(changes, message, small_settings):
    flow = workflow("fmabs_la", "train", {**small_settings, **changes})
    with refused(Exception, message):
        flow.initialize()
        flow.run()
    assert not (Path(small_settings["output_dir"]) / "checkpoint.pt").exists()


@pytest.mark.parametrize(("name", "words"), [("embedded", "not the paper's MobileSAM"), ("lite_medsam", "")])
def test_the_generalist_that_is_not_the_papers_is_announced(name, words, caplog):
    for bundle in BUNDLES:
        content = (ROOT / "bundles" / bundle / "configs" / "train.json").read_text()
        assert "$@common.generalists.announce_generalist(@generalist)" in json.loads(content)["initialize"]
    announce_generalist(name)
    assert words in caplog.text and bool(caplog.text) == bool(words)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_teacher_sees_noise_once_and_contrast_once(bundle):
    parser = ConfigParser()
    parser.read_config(ROOT / "bundles" / bundle / "configs" / "train.json")
    images = torch.randn(2, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    noise, contrast = (perturb(images, 7) for perturb in parser.get_parsed_content("train#perturb"))
    difference = (noise - images).flatten()
    assert 0.05 < difference.std() < 0.1 and difference.abs().max() <= 0.2 + 1e-6
    mean = images.mean(dim=(1, 2, 3, 4), keepdim=True)
    factors = ((contrast - mean) / (images - mean)).flatten(1)
    assert (factors.amax(1) - factors.amin(1) < 1e-2).all() and (factors - 1).abs().max() <= 0.26
    assert (factors[:, 0] != 1).all()


@pytest.mark.parametrize("bundle", BUNDLES)
def test_patches_are_always_mirrored_in_the_axial_plane(bundle):
    """As in the public code: a quarter turn and then a mirroring, which gives four reflections equally often."""
    parser = ConfigParser()
    parser.read_config(ROOT / "bundles" / bundle / "configs" / "train.json")
    number = len(parser["train#random_transforms"])
    steps = [parser.get_parsed_content(f"train#random_transforms#{place}") for place in range(number - 3, number)]
    assert_turned_and_mirrored(steps)
