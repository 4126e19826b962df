from __future__ import annotations

import json
import re

import nibabel as nib
import numpy as np
import pytest

from common.annotations import AnnotationsPending, FolderAnnotator
from common.annotations.folder import slice_request
from common.cohort import Scan
from tests.samples import save, states

SHAPE = (6, 7, 8)
AFFINE = np.array([[-2.0, 0, 0, 10], [0, -1.0, 0, 20], [0, 0, 3.0, -30], [0, 0, 0, 1]])
"""LPS: first and second axis run against RAS."""


@pytest.fixture
def scans(tmp_path):
    image = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    return [Scan(name, save(tmp_path / f"images/{name}.nii.gz", image, AFFINE)) for name in ("a", "b")]


@pytest.fixture
def annotator(tmp_path):
    return FolderAnnotator(tmp_path / "out", {1: "left atrium"})


def ask(annotator, scans, **options):
    with pytest.raises(AnnotationsPending) as caught:
        annotator.annotate(scans, round=3, **options)
    return caught.value


def draw(annotator, scan_id, change, round=3):
    path = annotator.template_path(round, scan_id)
    image = nib.load(path)
    array = np.asarray(image.dataobj).copy()
    change(array)
    nib.save(nib.Nifti1Image(array, image.affine), path)


def cross(array):
    """Slices 4, 1, 2 of the file's axes: sagittal 1, coronal 5, axial 2 in RAS."""
    array[4], array[:, 1], array[:, :, 2] = 0, 0, 0
    array[4, 1:3, 2] = 1


def test_slices_in_a_file_of_another_orientation_by_hand():
    request = slice_request("sagittal", 1, SHAPE, AFFINE)
    assert (request.file_axis, request.file_index, request.millimetres) == (0, 4, 2.0)
    request = slice_request("axial", 2, SHAPE, AFFINE)
    assert (request.file_axis, request.file_index, request.millimetres) == (2, 2, -24.0)
    turned = AFFINE[:, [2, 0, 1, 3]]
    request = slice_request("coronal", 5, (8, 6, 7), turned)
    assert (request.file_axis, request.file_index, request.millimetres) == (2, 1, 19.0)
    with pytest.raises(ValueError, match=r"lie in 0\.\.5, got 6"):
        slice_request("sagittal", 6, SHAPE, AFFINE)
    with pytest.raises(ValueError, match="view must be one of"):
        slice_request("top", 1, SHAPE, AFFINE)


def test_a_request_says_exactly_what_to_draw_where(annotator, scans, tmp_path):
    pending = ask(annotator, scans, suggestions={"a": {"sagittal": 1, "coronal": 5, "axial": 2}})

    template = nib.load(tmp_path / "out/requests/round_03/a.nii.gz")
    assert template.shape == SHAPE
    assert np.array_equal(template.affine, AFFINE)
    assert template.get_data_dtype() == np.uint8
    assert (np.asanyarray(template.dataobj) == 255).all()
    request = json.loads((tmp_path / "out/requests/round_03.json").read_text())
    assert request["values"] == {"0": "background", "1": "left atrium", "255": "not annotated"}
    assert [scan["scan"] for scan in request["scans"]] == ["a", "b"]
    assert {item["view"]: item["file_index"] for item in request["scans"][0]["slices"]} == {
        "axial": 2,
        "coronal": 1,
        "sagittal": 4,
    }
    assert {item["view"]: item["ras_index"] for item in request["scans"][1]["slices"]} == {
        "axial": 4,
        "coronal": 3,
        "sagittal": 3,
    }
    assert pending.scans == ["a", "b"]
    assert pending.request == tmp_path / "out/requests/round_03.json"
    message = str(pending)
    assert str(tmp_path / "out/requests/round_03/b.nii.gz") in message
    assert "sagittal: slice 4 along the file's first (i) axis, at x = 2 mm" in message
    assert "1 left atrium" in message
    assert "same command again" in message


def test_pause_draw_continue(annotator, scans, tmp_path):
    ask(annotator, scans)
    draw(annotator, "a", cross)
    before = states(tmp_path)
    assert ask(annotator, scans, suggestions={"b": {"axial": 0}}).scans == ["b"]
    assert states(tmp_path) == before
    draw(annotator, "b", cross)

    annotations = FolderAnnotator(tmp_path / "out", {1: "left atrium"}).annotate(scans, round=3)

    annotation = annotations["b"]
    assert list(annotations) == ["a", "b"]
    assert annotation.slices == {"axial": 2, "coronal": 5, "sagittal": 1}
    assert annotation.array.shape == SHAPE
    assert nib.aff2axcodes(annotation.affine) == ("R", "A", "S")
    assert np.argwhere(annotation.array == 1).tolist() == [[1, 4, 2], [1, 5, 2]]
    assert (annotation.array[1] != 255).all()
    assert (annotation.array[:, 5] != 255).all()
    before, after = AFFINE @ [4, 1, 2, 1], annotation.affine @ [1, 5, 2, 1]
    assert np.allclose(before, after)


def test_a_resumed_round_keeps_to_the_scans_it_asked_for(annotator, scans):
    assert annotator.requested(3) is None
    ask(annotator, scans)
    assert annotator.requested(3) == ["a", "b"]
    with pytest.raises(ValueError, match=r"expected a request for b, c, found one for a, b"):
        annotator.annotate([scans[1], Scan("c", scans[0].image)], round=3)


def test_scans_of_a_request_that_were_annotated_elsewhere_are_not_waited_for(annotator, scans):
    ask(annotator, scans)
    pending = ask(annotator, scans[:1])
    assert pending.scans == ["a"] and "b.nii.gz" not in str(pending)
    draw(annotator, "a", cross)
    assert list(annotator.annotate(scans[:1], round=3)) == ["a"]


def test_dense_and_several_slices(annotator, scans):
    ask(annotator, scans, suggestions={"b": {"axial": 6}})

    def dense(array):
        array[:] = 0
        array[1:3, 1:3, 1:3] = 1

    def two_axial(array):
        cross(array)
        array[:, :, 1] = array[:, :, 5] = 0
        array[2, 2, 5] = 1

    draw(annotator, "a", dense)
    draw(annotator, "b", two_axial)
    annotations = annotator.annotate(scans, round=3)
    assert annotations["a"].slices is None
    assert annotations["b"].slices == {"axial": 5, "coronal": 5, "sagittal": 1}


def _only(value):
    def change(array):
        array[:, :, 2] = value

    return change


def _two_slices(array):
    """Sagittal and coronal; of the axial slice that was asked for, 12 voxels lie on these."""
    array[4], array[:, 1] = 0, 0
    array[4, 1:3, 2] = 1


def _unknown(array):
    cross(array)
    array[0, 0, 2] = 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_only(0), "found only background"),
        (_only(1), "found no background"),
        (_unknown, "expected 0 background, 1 left atrium and 255 not annotated, found 7"),
        (
            _two_slices,
            r"expected every voxel to be set on the axial slice 4 along the file's third \(k\) axis \(or on another "
            r"axial one\), found 30 of 42 at 255\.",
        ),
    ],
)
def test_drawings_that_will_not_do(annotator, scans, change, message):
    ask(annotator, scans)
    draw(annotator, "a", change)
    before = states(annotator.folder)
    pending = ask(annotator, scans)
    assert pending.scans == ["a", "b"]
    assert re.search(message, str(pending)) and "cannot take these drawings" in str(pending)
    assert str(annotator.template_path(3, "a")) in str(pending).split("Please draw")[0]
    assert states(annotator.folder) == before


def test_all_wrong_drawings_come_at_once(annotator, scans):
    ask(annotator, scans)
    save(annotator.template_path(3, "a"), np.zeros((3, 3, 3), np.uint8), AFFINE)
    annotator.template_path(3, "b").write_bytes(b"")
    beside = save(annotator.template_path(3, "a_label"), np.zeros(SHAPE, np.uint8), AFFINE)
    wrong = str(ask(annotator, scans)).split("\n\n")[1].splitlines()
    assert len(wrong) == 3
    assert "without resampling" in wrong[0] and "expected a NIfTI file" in wrong[1]
    assert wrong[2].startswith(f"{beside}: expected drawings in place of the templates alone")


def test_a_damaged_request_is_named(annotator, scans):
    ask(annotator, scans)
    annotator.request_path(3).write_text("{}")
    with pytest.raises(ValueError, match=r"round_03\.json: expected a request"):
        annotator.annotate(scans, round=3)


def test_whole_scans(scans, tmp_path):
    annotator = FolderAnnotator(tmp_path / "out", {1: "left atrium"}, dense=True)
    pending = ask(annotator, scans)
    assert "Please draw all of" in str(pending) and "Set every voxel" in str(pending) and "slice" not in str(pending)
    for scan in scans:
        draw(annotator, scan.id, cross)
    assert str(ask(annotator, scans)).count("expected every voxel to be set, found") == 2

    def whole(array):
        array[array == 255] = 0

    for scan in scans:
        draw(annotator, scan.id, whole)
    assert all(it.slices is None for it in annotator.annotate(scans, round=3).values())
