"""What the labels of a cohort, or of a run on it, are said to hold."""

import json

import numpy as np
import pytest

from common.annotations import Annotation, AnnotationStore, Ledger, submit_annotation
from common.annotations.inspection import inspect_labels, of_run
from common.cohort import Cohort, read_ras
from tests.annotations.test_datalist import DENSE, edit, scribbles, slices
from tests.samples import save


@pytest.fixture
def folder(make_cohort):
    made = make_cohort(5, labels={"1": "front", "2": "back"})
    for number, label in enumerate((DENSE, slices(), scribbles(), np.minimum(DENSE, 1))):
        save(made / f"labels/scan_{number}.nii.gz", label)
    edit(made, 4, label=None)
    edit(made, 3, annotated_classes=["front"])
    return made


def inspected(folder, **settings):
    return {report.scan: report for report in inspect_labels(Cohort.open(folder), progress=False, **settings)}


def test_each_kind(folder):
    found = inspected(folder)
    assert {scan: report.text for scan, report in found.items()} == {
        "scan_0": "dense",
        "scan_1": "3 whole slices (axial 3–4, coronal 2), 36 % of the voxels",
        "scan_2": "scribbles, 2.1 % of the voxels",
        "scan_3": "dense, front only",
        "scan_4": "no label",
    }
    assert {scan: report.voxels for scan, report in found.items()} == {
        "scan_0": {1: 17, 2: 1},
        "scan_1": {1: 13, 2: 1},
        "scan_2": {1: 2, 2: 0},
        "scan_3": {1: 18, 2: 0},
        "scan_4": {},
    }
    assert not any(report.problems for report in found.values())
    assert {scan for scan, report in found.items() if report.hints} == {"scan_0", "scan_1", "scan_2"}
    assert "scan_0.nii.gz: 1 speck of less than 4 voxels" in found["scan_0"].hints[0]
    json.dumps([report.plain() for report in found.values()])


def test_problems_are_named_scan_by_scan(folder):
    save(folder / "labels/scan_0.nii.gz", np.where(DENSE == 2, 7, DENSE).astype(np.uint8))
    save(folder / "labels/scan_1.nii.gz", np.full_like(DENSE, 255))
    save(folder / "labels/scan_2.nii.gz", DENSE[1:])
    save(folder / "labels/scan_3.nii.gz", DENSE)
    found = {scan: report.problems for scan, report in inspected(folder).items()}
    assert not found["scan_4"]
    for scan, message in {
        "scan_0": "expected 0 background, 1 front, 2 back, 255 not annotated, found the values 7",
        "scan_1": "expected annotated voxels, found every voxel at 255",
        "scan_2": "expected the grid of scan_2.nii.gz, 6 × 7 × 8 voxels",
        "scan_3": "expected the annotated classes alone (front), found voxels of back",
    }.items():
        (problem,) = found[scan]
        assert problem.startswith(f"{folder / 'labels' / scan}.nii.gz: {message}")


def test_files_that_cannot_be_read_and_values_that_are_no_classes(folder):
    (folder / "labels/scan_0.nii.gz").write_bytes(b"no")
    (folder / "labels/scan_1.nii.gz").unlink()
    save(folder / "labels/scan_2.nii.gz", DENSE * np.float32(0.5))
    found = inspected(folder)
    assert [found[f"scan_{number}"].text for number in range(3)] == ["unreadable"] * 3
    assert "does not open" in found["scan_0"].problems[0] and "no such file" in found["scan_1"].problems[0]
    assert "255 not annotated, found the values 0.5" in found["scan_2"].problems[0]


def test_scans_that_are_compared_with_must_be_dense(folder):
    edit(folder, 2, split="validation")
    edit(folder, 1, split="test")
    found = inspected(folder)
    assert "scan_2.nii.gz: expected a dense label of all classes" in found["scan_2"].problems[0]
    assert not found["scan_1"].problems and "scan_1.nii.gz: expected a dense label" in found["scan_1"].hints[0]


def test_the_annotations_of_a_run(folder, tmp_path):
    """They lie in RAS orientation, whatever that of the image."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    save(folder / "images/scan_1.nii.gz", np.zeros(DENSE.shape, np.float32), affine)
    save(folder / "labels/scan_1.nii.gz", DENSE, affine)
    cohort = Cohort.open(folder)
    scan, run = cohort.scan("scan_1"), tmp_path / "run"
    with pytest.raises(ValueError, match=r"expected annotations of training scans of .*, found none"):
        of_run(cohort, run)
    annotation = Annotation(slices(), read_ras(scan.image)[1], {"axial": 3}, "somebody", classes=(1,))
    places = {"ledger": Ledger(run), "store": AnnotationStore(run)}
    submit_annotation(scan, annotation, **places, strategy="her", score=None, round=0)
    (report,) = inspected(folder, run=run).values()
    assert report.text == "3 whole slices (axial 3–4, coronal 2), 36 % of the voxels, front only"
    assert "expected the annotated classes alone" in report.problems[0]
    assert [it.label is not None for it in of_run(cohort, run).training] == [
        it.id == "scan_1" for it in cohort.training
    ]
