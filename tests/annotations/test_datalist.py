"""Labels of the datalist as annotations: sparse ones, and those of some classes."""

import json

import numpy as np
import pytest

from common.annotations import (
    AnnotationStore,
    DatalistAnnotator,
    Ledger,
    LedgerEntry,
    OracleAnnotator,
    annotate_at_start,
    first_labelled,
)
from common.cohort import Cohort, CohortError, Scan, check_cohort
from tests.samples import save

DENSE = np.zeros((6, 7, 8), np.uint8)
DENSE[2:4, 2:5, 3:6] = 1
DENSE[3, 3, 3] = 2


def slices():
    """The third and fourth axial slice and the second coronal one."""
    label = np.full_like(DENSE, 255)
    label[:, :, 3:5], label[:, 2] = DENSE[:, :, 3:5], DENSE[:, 2]
    return label


def scribbles():
    label = np.full_like(DENSE, 255)
    label[2, 2:4, 3], label[0, 1:6, 7] = 1, 0
    return label


def test_labels_are_annotations_as_they_are(tmp_path):
    labels = {"a": DENSE, "b": slices(), "c": scribbles()}
    scans = [Scan(name, tmp_path / "x", save(tmp_path / f"{name}.nii", label)) for name, label in labels.items()]
    found = DatalistAnnotator().annotate(scans, round=0)
    for name, label in labels.items():
        np.testing.assert_array_equal(found[name].array, label)
    assert found["a"].slices is None
    assert found["b"].slices == {"axial": 4, "coronal": 2}
    assert found["c"].slices == {}
    assert [found[name].voxels for name in "abc"] == [6 * 7 * 8, 2 * 6 * 7 + 6 * 8 - 2 * 6, 7]
    with pytest.raises(CohortError, match="x: expected a label in the datalist, found none"):
        DatalistAnnotator().annotate([Scan("d", tmp_path / "x")], round=0)


def test_an_oracle_refuses_what_it_cannot_know(tmp_path):
    sparse = Scan("a", tmp_path / "x", save(tmp_path / "a.nii", slices()))
    partial = Scan("b", tmp_path / "x", save(tmp_path / "b.nii", DENSE), annotated_classes=(2,))
    for oracle in (OracleAnnotator(), OracleAnnotator(dense=True)):
        with pytest.raises(CohortError) as caught:
            oracle.annotate([sparse, partial], round=0)
        first, second = caught.value.problems
        assert "a.nii: expected a dense label of all classes" in first and "found 216 of 336 voxels" in first
        assert "b.nii: expected a dense label of all classes" in second and "some classes only (2)" in second
        assert first.endswith("(--annotator datalist).")


def edit(folder, number, split="training", **values):
    path = folder / "datalist.json"
    content = json.loads(path.read_text())
    item = content["training"].pop(number) | values
    content[split].append(item)
    path.write_text(json.dumps(content))


@pytest.fixture
def folder(make_cohort):
    """Three scans of two classes: dense, slices, scribbles."""
    made = make_cohort(3, labels={"1": "front", "2": "back"})
    for number, label in enumerate((DENSE, slices(), scribbles())):
        save(made / f"labels/scan_{number}.nii.gz", label)
    return made


def problems(folder, **settings):
    with pytest.raises(CohortError) as caught:
        check_cohort(Cohort.open(folder), progress=False, **settings)
    return caught.value.problems


def test_a_sparse_cohort_is_checked_and_annotated(folder, tmp_path):
    edit(folder, 0, annotated_classes=["back", "front"])
    edit(folder, 0, annotated_classes=["front"])
    save(folder / "labels/scan_1.nii.gz", np.where(slices() == 2, 0, slices()))
    cohort = Cohort.open(folder)
    assert {scan.id: scan.annotated_classes for scan in cohort.training} == {
        "scan_0": None,
        "scan_1": (1,),
        "scan_2": None,
    }
    check_cohort(cohort, progress=False)
    ledger, store = Ledger(tmp_path / "run"), AnnotationStore(tmp_path / "run")
    for _ in range(2):
        annotate_at_start(
            first_labelled(cohort), annotator=DatalistAnnotator(), cohort=cohort, ledger=ledger, store=store
        )
    again = Ledger(tmp_path / "run")
    assert again.partial_classes == {"scan_1": (1,)}
    assert {entry.scan: entry.slices for entry in again.entries} == {
        "scan_0": None,
        "scan_1": {"axial": 4, "coronal": 2},
        "scan_2": {},
    }
    lines = (tmp_path / "run/ledger.json").read_text()
    assert lines.count('"classes": [1]') == 1 and lines.count('"classes"') == 1


def test_where_labels_must_be_dense(folder):
    assert len(problems(folder, simulated=True)) == 2
    edit(folder, 1, split="test")
    check_cohort(Cohort.open(folder), progress=False)
    (problem,) = problems(folder, evaluated="test")
    assert "scan_1.nii.gz: expected a dense label of all classes, found 216 of 336 voxels" in problem
    assert "move the scan to training" in problem
    edit(folder, 0, split="validation", annotated_classes=["front"])
    save(folder / "labels/scan_0.nii.gz", np.minimum(DENSE, 1))
    (problem,) = problems(folder)
    assert "scan_0.nii.gz: expected a dense label of all classes, found one of some classes only (front)" in problem


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["middle"], r"`annotated_classes`: expected names of classes \(front, back\), found 'middle'"),
        ([], r"expected a list of at least one of the names of classes \(front, back\), found \[\]"),
        ("front", "expected a list of at least one"),
        ([1], "expected names of classes .* found 1"),
    ],
)
def test_bad_classes_of_a_scan(folder, classes, message):
    edit(folder, 0, annotated_classes=classes)
    with pytest.raises(CohortError, match=message):
        Cohort.open(folder)


def test_classes_without_a_label(folder):
    edit(folder, 0, label=None, annotated_classes=["front"])
    with pytest.raises(CohortError, match="expected a label beside `annotated_classes` in training"):
        Cohort.open(folder)


def test_of_one_class_all_or_nothing(make_cohort):
    folder = make_cohort(2)
    edit(folder, 0, annotated_classes=["blob"])
    assert [scan.annotated_classes for scan in Cohort.open(folder).training] == [None, None]
    edit(folder, 0, annotated_classes=[])
    with pytest.raises(CohortError, match="at least one of the names of classes"):
        Cohort.open(folder)


def test_voxels_of_a_class_that_was_not_annotated(folder):
    edit(folder, 0, annotated_classes=["front"])
    (problem,) = problems(folder)
    assert "scan_0.nii.gz: expected the annotated classes alone (front), found voxels of back" in problem


def test_a_ledger_with_classes_that_are_none(tmp_path):
    for classes in ((), (0,), ("front",)):
        with pytest.raises(ValueError, match="classes of a must be numbers from 1 on or None"):
            LedgerEntry("a", 0, 0, "first", None, None, 1, "datalist", classes=classes)
