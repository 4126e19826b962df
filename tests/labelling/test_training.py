"""Trainings on what is annotated: their folders, settings, ends and interruptions."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch

from common.annotations import AnnotationStore, Ledger, LedgerEntry, cross_label, middle_slices
from common.cohort import Cohort, read_labels_ras
from common.files import read_json
from common.labelling import Training
from common.labelling.training import TrainingStopped, learnt_from
from common.prepare import write_phantom
from tests.bundles.workflows import ROOT
from tests.samples import states

BUNDLE = ROOT / "bundles" / "fmabs_la"
LABELS = {1: "left atrium"}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("cohort"), scans=5, size=(32, 24, 32), validation=0, test=1)


@pytest.fixture
def images(cohort):
    return {scan.id: scan.image for scan in cohort.training}


def annotate(run, cohort, scan, round=0):
    """Annotates three slices of a scan."""
    label, affine = read_labels_ras(cohort.scan(scan).label)
    slices = middle_slices(label)
    array = cross_label(label, slices)
    AnnotationStore(run).write("annotation", scan, array, affine)
    entry = LedgerEntry(scan, round, 0, "her", 0.5, slices, int((array != 255).sum()), "monai_label")
    Ledger(run).add(entry)


def begin(run, images, bundle=BUNDLE, **more):
    return Training.begin(run, bundle=bundle, images=images, labels=LABELS, **more)


def test_its_folder_is_complete(cohort, images, tmp_path):
    annotate(tmp_path, cohort, "phantom_001")
    training = begin(tmp_path, images, overlay="ours", settings={"max_iterations": 7})
    assert training.folder == tmp_path / "trainings" / "001"
    assert Ledger(training.folder).entries == Ledger(tmp_path).entries
    copied, original = (AnnotationStore(it).read("annotation", "phantom_001") for it in (training.folder, tmp_path))
    np.testing.assert_array_equal(copied, original)
    inside = Cohort.open(training.folder / "cohort")
    assert [scan.id for scan in inside.training] == list(images)
    assert all(scan.image.samefile(images[scan.id]) for scan in inside.training)
    assert inside.labels == LABELS
    settings = read_json(training.folder / "settings.json")
    assert settings["annotator"] == "ledger"
    assert settings["max_iterations"] == 7
    shipped = read_json(BUNDLE / "models" / "model.json")
    assert settings["network_def#width"] == shipped["width"]
    assert settings["roi_size"] == shipped["roi_size"]
    assert (training.folder / "initial.pt").read_bytes() == (BUNDLE / "models" / "model.pt").read_bytes()
    assert training.command[-3:-1] == ["train", str(BUNDLE / "configs" / "ours.json")]


def test_a_stopped_one_is_taken_up_unless_something_has_changed(cohort, images, tmp_path):
    annotate(tmp_path, cohort, "phantom_001")
    first = begin(tmp_path, images)
    assert begin(tmp_path, images) == first
    assert begin(tmp_path, images, settings={"seed": 1}).folder.name == "002"
    annotate(tmp_path, cohort, "phantom_000")
    assert begin(tmp_path, images, settings={"seed": 1}).folder.name == "003"
    assert begin(tmp_path, images, settings={"seed": 1}).folder.name == "003"
    assert begin(tmp_path, images, settings={"seed": 1}, start="anew").folder.name == "004"
    assert read_json(tmp_path / "trainings/004/settings.json")["initial_weights"] is None


def test_an_interrupted_beginning_is_made_again(cohort, images, tmp_path):
    annotate(tmp_path, cohort, "phantom_001")
    (tmp_path / "trainings" / "001").mkdir(parents=True)
    (tmp_path / "trainings" / "001" / "ledger.json").write_text("{")
    assert Training.last(tmp_path) is None
    assert begin(tmp_path, images).folder.name == "001"


def test_nothing_is_left_of_one_that_cannot_be_written(cohort, images, tmp_path, monkeypatch):
    annotate(tmp_path, cohort, "phantom_001")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("common.labelling.training.write_datalist", lambda *_, **__: full())
    with pytest.raises(OSError, match="No space left"):
        begin(tmp_path, images)
    assert not (tmp_path / "trainings" / "001").exists()


def test_what_cannot_be_learnt_is_refused(cohort, images, tmp_path):
    with pytest.raises(ValueError, match="no annotated scan of this study yet"):
        begin(tmp_path, images)
    annotate(tmp_path, cohort, "phantom_001")
    with pytest.raises(ValueError, match="no annotated scan of this study yet"):
        begin(tmp_path, {"other": images["phantom_000"]})
    with pytest.raises(ValueError, match="start must be one of"):
        begin(tmp_path, images, start="nothing")
    for settings in ({"max_iteration": 5}, {"output_dir": "x"}, {"annotator": "oracle"}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            begin(tmp_path, images, settings=settings)
    assert not (tmp_path / "trainings").exists()


def test_a_model_of_other_classes_is_not_started_from(cohort, images, tmp_path):
    annotate(tmp_path, cohort, "phantom_001")
    training = Training.begin(tmp_path, bundle=BUNDLE, images=images, labels={1: "front", 2: "back"})
    assert read_json(training.folder / "settings.json")["initial_weights"] is None
    assert not (training.folder / "initial.pt").exists()


class Fake(Training):
    """A training whose process is a line of Python, which sees the folder as ``folder``."""

    code = ""

    @property
    def command(self):
        lines = f"import json, pathlib, sys, time; folder = pathlib.Path({str(self.folder)!r}); {self.code}"
        return [sys.executable, "-c", lines]


@pytest.fixture
def fake(cohort, images, tmp_path):
    annotate(tmp_path, cohort, "phantom_001")
    return Fake(begin(tmp_path, images, settings={"max_iterations": 20}).folder)


LOG = "(folder / 'log.jsonl').write_text(json.dumps({'kind': 'train', 'iteration': 10, 'loss': 0.5}) + chr(10)); "


def test_progress_and_publication(fake, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(
        Fake,
        "code",
        LOG + "time.sleep(0.6); (folder / 'model.json').write_text('{}'); (folder / 'model.pt').write_text('new')",
    )
    assert learnt_from(tmp_path) == set()
    (tmp_path / "model.pt").write_text("old")
    fake.run(tmp_path, tell=told.append, every=0.05)
    assert "training 001: iteration 10 of 20; loss 0.5000" in told
    assert (tmp_path / "model.pt").read_text() == "new"
    assert (tmp_path / "model.json").read_text() == "{}"
    progress = fake.progress()
    assert (progress["epoch"], progress["total_epochs"], progress["losses"]) == (20, 20, {"loss": 0.5})
    assert (progress["annotated"], progress["images"]) == (1, 4)
    assert "total_time" in progress
    assert learnt_from(tmp_path) == {"phantom_001"}
    before = states(tmp_path)
    assert not fake.publish(tmp_path)
    assert states(tmp_path) == before


def test_a_model_that_nobody_could_put_in_place_is_put_there_later(fake, tmp_path):
    (fake.folder / "model.pt").write_text("new")
    assert not fake.publish(tmp_path)
    (fake.folder / "training.json").write_text(json.dumps(fake.record | {"ended": fake.record["started"]}))
    assert fake.publish(tmp_path)
    assert (tmp_path / "model.pt").read_text() == "new"


def test_a_failure_says_why_and_leaves_the_model(fake, tmp_path, monkeypatch):
    (tmp_path / "model.pt").write_text("old")
    status = "(folder / 'status.json').write_text(json.dumps({'error': 'ValueError: no way'})); sys.exit(1)"
    monkeypatch.setattr(Fake, "code", status)
    with pytest.raises(RuntimeError, match="no way"):
        fake.run(tmp_path, every=0.05)
    assert (tmp_path / "model.pt").read_text() == "old"
    assert not fake.complete


def test_one_that_is_not_wanted_is_stopped(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(Fake, "code", "time.sleep(60)")
    with pytest.raises(TrainingStopped):
        fake.run(tmp_path, wanted=lambda: False, every=0.05)
    assert not fake.complete


def test_two_at_once_are_refused(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(Fake, "code", "time.sleep(2)")

    def second():
        with pytest.raises(RuntimeError, match="another training"):
            Fake(fake.folder).run(tmp_path, every=0.01)
        return False

    with pytest.raises(TrainingStopped):
        fake.run(tmp_path, wanted=second, every=0.05)


SMALL = {"max_iterations": 2, "roi_size": [16, 16, 16]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("fmabs_la", {"pseudo_label_rounds": 1}),
        ("fmabs_brats", {"pseudo_label_rounds": 1}),
        ("sfr_retrain", {}),
        ("sfr_stitch_finetune", {}),
        ("assft_adapt", {"roi_size": [64, 64, 32]}),
    ],
)
def test_every_bundle_learns_and_goes_on_from_its_model(name, settings, cohort, images, tmp_path):
    bundle = ROOT / "bundles" / name
    annotate(tmp_path, cohort, "phantom_001")
    training = begin(tmp_path, images, bundle, overlay="ours", settings=SMALL | settings)
    training.run(tmp_path, every=0.2)
    own, shipped = (torch.load(it / "model.pt", weights_only=True) for it in (tmp_path, bundle / "models"))
    assert own.keys() == shipped.keys()
    moved = {key: (own[key].float() - shipped[key].float()).abs().max().item() for key in own}
    assert max(moved.values()) > 0
    floating = [key for key in own if own[key].is_floating_point() and "running" not in key]
    assert np.median([moved[key] for key in floating]) < 0.1  # it has started from the shipped model
    shutil.rmtree(training.folder)
