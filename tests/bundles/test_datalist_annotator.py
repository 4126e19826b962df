"""Training on the datalist's labels as they are: dense, slices, scribbles and some classes only, in every bundle."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Events

from common.annotations import AnnotationStore, Ledger, cross_label, middle_slices
from common.cohort import Cohort, read_labels_ras, write_datalist
from tests.bundles.test_ledger_annotator import BUNDLES, SIZES
from tests.bundles.tiny import WHOLE_SCANS
from tests.bundles.workflows import refused, run, workflow
from tests.samples import save


@pytest.fixture
def sparse_dir(cohort_dir, tmp_path):
    """Phantoms whose atrium has a lower and an upper half: slices, scribbles, and two dense labels of one half each."""
    phantoms = Cohort.open(cohort_dir)
    folder = tmp_path / "sparse"
    items = {"training": [], "validation": []}
    for split, scans in (("training", phantoms.training), ("validation", phantoms.validation)):
        for place, scan in enumerate(scans):
            label, affine = read_labels_ras(scan.label)
            label = np.array(label)
            label[..., 16:] *= 2
            item = {"image": str(scan.image.resolve()), "label": f"labels/{scan.id}.nii.gz"}
            if split == "training" and place == 0:
                label = cross_label(label, middle_slices(label))
            elif split == "training" and place == 1:
                drawn = np.zeros(label.shape, bool)
                middle = middle_slices(label)
                drawn[middle["sagittal"], middle["coronal"] - 1 : middle["coronal"] + 1] = drawn[2, 2:30, 3] = True
                label = np.where(drawn, label, 255).astype(np.uint8)
            elif split == "training" and place < 4:
                label[label == place - 1] = 0
                item["annotated_classes"] = ["upper"] if place == 2 else ["lower"]
            elif split == "training":
                del item["label"]
            if "label" in item:
                wanted = nib.io_orientation(nib.load(scan.image).affine)
                turn = nib.orientations.ornt_transform(nib.io_orientation(affine), wanted)
                turned = nib.Nifti1Image(label, affine).as_reoriented(turn)
                save(folder / item["label"], np.asarray(turned.dataobj), turned.affine)
            items[split].append(item)
    write_datalist(folder, name="sparse", labels={1: "lower", 2: "upper"}, splits=items)
    return folder


@pytest.fixture
def settings(request, bundle, sparse_dir, tmp_path):
    paths = {"dataset_dir": str(sparse_dir), "output_dir": str(tmp_path / "run")}
    chosen = WHOLE_SCANS | paths | {"annotator": "datalist"} | SIZES[bundle]
    if bundle == "assft_adapt":
        chosen |= {"network_def": request.getfixturevalue("train_settings")["network_def"], "warm_up": 1}
        chosen |= {"intensity_augmentation": False, "copy_paste": 0, "first_round": 2, "round_interval": 2}
    return chosen


@pytest.mark.parametrize("bundle", BUNDLES)
def test_learns_from_each_label_as_it_is(bundle, settings, sparse_dir):
    cohort = Cohort.open(sparse_dir)
    assert [scan.annotated_classes for scan in cohort.training[:4]] == [None, None, (2,), (1,)]
    flow = workflow(bundle, "train", settings)
    flow.initialize()
    seen = []

    def look(engine):
        batch = engine.state.batch
        seen.extend(zip(batch["scan"], torch.as_tensor(batch["annotation"]), batch["annotation_classes"], strict=True))

    flow.parser.get_parsed_content("train#trainer").add_event_handler(Events.ITERATION_COMPLETED, look)
    flow.run()
    flow.finalize()

    labels = {scan.id: read_labels_ras(scan.label)[0] for scan in cohort.training if scan.label}
    sets = {scan.id: scan.annotated_classes or (1, 2) for scan in cohort.training}
    assert {scan for scan, *_ in seen} >= labels.keys()
    for scan, annotation, classes in seen:
        np.testing.assert_array_equal(annotation[0].numpy(), labels.get(scan, np.full((32, 32, 32), 255)))
        assert classes.tolist() == [1, int(1 in sets[scan]), int(2 in sets[scan])]
    output = Path(settings["output_dir"])
    assert Ledger(output).labelled == list(labels) and not (output / "requests").exists()
    assert Ledger(output).partial_classes == {cohort.training[2].id: (2,), cohort.training[3].id: (1,)}
    assert (output / "model.pt").is_file()


@pytest.mark.parametrize("bundle", ["fmabs_la", "sfr_retrain"])
def test_an_oracle_refuses_sparse_labels_with_the_remedy(bundle, settings):
    settings |= {"annotator": "oracle"} | ({"budget": 2} if bundle == "fmabs_la" else {"labelled": 2})
    with refused(ValueError, "expected a dense label of all classes"):
        workflow(bundle, "train", settings).initialize()
    with refused(ValueError, "--annotator datalist"):
        workflow(bundle, "train", settings).initialize()


@pytest.mark.parametrize("bundle", ["fmabs_la"])
def test_pseudo_labels_may_have_the_classes_that_were_not_annotated(bundle, settings, sparse_dir):
    run(bundle, "train", settings | {"pseudo_label_rounds": 1, "pseudo_label_span": [0.5, 0.5]})
    partial = Cohort.open(sparse_dir).training[2]
    store = AnnotationStore(settings["output_dir"])
    found, annotation = store.read("pseudo_label", partial.id), store.read("annotation", partial.id)
    assert found is not None
    assert (found[annotation == 2] == 2).all()
    assert not (found[annotation == 0] == 2).any()


@pytest.mark.parametrize("bundle", ["fmabs_la"])
def test_without_partial_classes_batches_are_as_before(bundle, settings, sparse_dir):
    path = sparse_dir / "datalist.json"
    content = json.loads(path.read_text())
    for item in content["training"]:
        item.pop("annotated_classes", None)
    path.write_text(json.dumps(content))
    flow = workflow(bundle, "train", settings)
    flow.initialize()
    batch = next(iter(flow.parser.get_parsed_content("train#dataloader")))
    flow.finalize()
    assert "annotation_classes" not in batch
