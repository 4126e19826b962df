"""Training on what a ledger lists: nobody is asked, and every bundle learns from the annotated voxels alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events

from common.annotations import Annotation, AnnotationStore, Ledger, cross_label, submit_annotation
from common.cohort import Cohort, read_labels_ras
from tests.bundles.tiny import WHOLE_SCANS
from tests.bundles.workflows import refused, run, workflow

BUNDLES = ("fmabs_la", "fmabs_brats", "sfr_retrain", "sfr_stitch_finetune", "assft_adapt")

SIZES = {
    "fmabs_la": {"network_def#width": 2, "pseudo_label_rounds": 0},
    "fmabs_brats": {"network_def#width": 2, "pseudo_label_rounds": 0},
    "sfr_retrain": {"network_def#width": 2, "ramp_up": 4},
    "sfr_stitch_finetune": {"image_size": 192, "batch_unlabelled": 0},
    "assft_adapt": {"encoder": "model.0", "first_round": 2},
}


@pytest.fixture
def settings(request, bundle, cohort_dir, tmp_path):
    paths = {"dataset_dir": str(cohort_dir), "output_dir": str(tmp_path / "run")}
    chosen = WHOLE_SCANS | paths | {"annotator": "ledger"} | SIZES[bundle]
    if bundle == "assft_adapt":
        # Its tests' small network, and boxes that are not exchanged between patches, so that these stay as they are.
        chosen |= request.getfixturevalue("train_settings") | chosen
        chosen |= {"intensity_augmentation": False, "copy_paste": 0}
        del chosen["budget"]
    return chosen


def submit(settings, number, *, slices, round, mirrored=False):
    """Has a training scan annotated by somebody, whose opinion is not the cohort's own label if mirrored."""
    scan = Cohort.open(settings["dataset_dir"]).training[number]
    label, affine = read_labels_ras(scan.label)
    label = np.ascontiguousarray(label[::-1] if mirrored else label)
    array = label if slices is None else cross_label(label, slices)
    run = Path(settings["output_dir"])
    submit_annotation(
        scan,
        Annotation(array, affine, slices, "somebody"),
        ledger=Ledger(run),
        store=AnnotationStore(run),
        strategy="her" if round else "random",
        score=None,
        round=round,
    )
    return scan.id, array


@pytest.mark.parametrize("bundle", BUNDLES)
def test_learns_from_the_annotated_voxels_of_the_listed_scans_and_asks_nobody(bundle, settings, cohort_dir):
    drawn = dict(
        [
            submit(settings, 2, slices={"axial": 14, "coronal": 15}, round=0, mirrored=True),
            submit(settings, 0, slices=None, round=1),
        ]
    )
    output = Path(settings["output_dir"])
    before = Ledger(output).entries
    flow = workflow(bundle, "train", settings)
    flow.initialize()
    seen = []

    def look(engine):
        batch = engine.state.batch
        seen.extend(zip(batch["scan"], torch.as_tensor(batch["annotation"]), strict=True))

    flow.parser.get_parsed_content("train#trainer").add_event_handler(Events.ITERATION_COMPLETED, look)
    flow.run()
    flow.finalize()

    assert {scan for scan, _ in seen} >= set(drawn)
    for scan, annotation in seen:
        expected = drawn.get(scan, np.full((32, 32, 32), 255, np.uint8))
        np.testing.assert_array_equal(annotation[0].numpy(), expected)
    assert Ledger(output).entries == before and not (output / "requests").exists()
    assert (output / "model.pt").is_file()


@pytest.mark.parametrize("bundle", BUNDLES)
def test_an_empty_ledger_is_refused_with_the_remedy(bundle, settings):
    with refused(ValueError, "no annotated scan yet"):
        workflow(bundle, "train", settings).initialize()
    with refused(ValueError, "--annotator folder"):
        workflow(bundle, "train", settings).initialize()


@pytest.mark.parametrize("bundle", ["fmabs_la", "sfr_retrain"])
def test_a_missing_annotation_is_named(bundle, settings):
    scan, _ = submit(settings, 1, slices={"axial": 14}, round=0)
    (Path(settings["output_dir"]) / "annotation" / f"{scan}.nii").unlink()
    with refused(FileNotFoundError, f"{scan}.nii: expected the annotation of a scan that the ledger lists"):
        workflow(bundle, "train", settings).initialize()


@pytest.mark.parametrize("bundle", ["sfr_retrain"])
def test_scans_that_the_cohort_lacks_do_not_matter(bundle, settings, cohort_dir):
    submit(settings, 1, slices={"axial": 14}, round=0)
    output = Path(settings["output_dir"])
    text = (output / "ledger.json").read_text()
    name = Ledger(output).labelled[0]
    (output / "ledger.json").write_text(text.replace(name, "elsewhere"))
    with refused(ValueError, r"Those that it lists (elsewhere) are not in the cohort"):
        workflow(bundle, "train", settings).initialize()
    (output / "ledger.json").write_text(text)
    submit(settings, 2, slices=None, round=1)
    text = (output / "ledger.json").read_text()
    (output / "ledger.json").write_text(text.replace(name, "elsewhere"))
    flow = run(bundle, "train", settings)
    assert flow.parser.get_parsed_content("labelled_scans") == [Cohort.open(cohort_dir).training[2]]


@pytest.mark.parametrize("bundle", ["fmabs_la"])
def test_our_way_propagates_the_slices_of_all_rounds_before_training(bundle, settings):
    """With propagation, scans annotated in any former round get their pseudo-label when training starts."""
    drawn = [
        submit(settings, 0, slices={"axial": 14, "coronal": 15, "sagittal": 13}, round=0),
        submit(settings, 1, slices={"axial": 15, "coronal": 15, "sagittal": 14}, round=5),
    ]
    run(bundle, "train", settings | {"propagate": True})
    store = AnnotationStore(settings["output_dir"])
    for scan, annotation in drawn:
        label = store.read("pseudo_label", scan)
        np.testing.assert_array_equal(label[annotation != 255], annotation[annotation != 255])
    assert len(list((Path(settings["output_dir"]) / "pseudo_label").iterdir())) == 2
