import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from common.annotations.kinds import annotated_part, ranges, specks
from common.cohort import VIEWS

SHAPE = (5, 6, 7)


def empty():
    return np.full(SHAPE, 255, np.uint8)


def test_dense_and_nothing():
    assert (annotated_part(np.zeros(SHAPE, np.uint8)).kind, annotated_part(empty()).kind) == ("dense", "none")
    assert (annotated_part(np.zeros(SHAPE, np.uint8)).text, annotated_part(empty()).text) == ("dense", "nothing")


def test_whole_slices():
    label = empty()
    label[:, :, 3], label[:, 1:3], label[4] = 0, 1, 2
    part = annotated_part(label)
    assert (part.kind, part.elsewhere) == ("slices", 0)
    assert part.slices == {"axial": [3], "coronal": [1, 2], "sagittal": [4]}
    # 30 of the axial slice, 2 · 35 of the coronal ones less 2 · 5 in common, 42 of the sagittal one less 6 + 2 · 7 - 2
    voxels = 30 + 70 - 10 + 42 - (6 + 14 - 2)
    assert part.voxels == voxels == 114
    assert part.text == "4 whole slices (axial 3, coronal 1–2, sagittal 4), 54 % of the voxels"


def test_scribbles_beside_a_slice():
    label = empty()
    label[:, :, 3] = 0
    label[1, 1:5, 5] = label[1:3, 2, 5] = 1
    part = annotated_part(label)
    assert (part.kind, part.elsewhere, part.slices["axial"]) == ("scribbles", 5, [3])
    assert part.text == "1 whole slice (axial 3) and scribbles, 17 % of the voxels"


def test_a_broad_stroke_on_one_slice_is_a_scribble_and_a_box_is_a_region():
    label = empty()
    label[1:5, 1:5, 3] = 1
    assert (annotated_part(label).kind, annotated_part(label).text) == ("scribbles", "scribbles, 7.6 % of the voxels")
    label[1:4, 1:4, 2:5] = 1
    assert annotated_part(label).kind == "regions"


def test_a_slice_with_a_hole_is_no_whole_slice():
    label = empty()
    label[:, :, 3] = 0
    label[2, 2, 3] = 255
    part = annotated_part(label)
    assert (part.kind, part.slices["axial"], part.voxels) == ("scribbles", [], 29)


@given(label=arrays.arrays(np.uint8, (2, 3, 3), elements=st.sampled_from([0, 1, 255])))
def test_slices_by_a_plain_loop(label):
    part = annotated_part(label)
    assert part.voxels == sum(value != 255 for value in label.ravel().tolist())
    if part.kind == "dense":
        return
    covered = np.zeros(label.shape, bool)
    for view, axis in VIEWS.items():
        whole = [index for index in range(label.shape[axis]) if 255 not in label.take(index, axis=axis)]
        assert part.slices[view] == whole
        np.moveaxis(covered, axis, 0)[whole] = True
    assert part.elsewhere == np.count_nonzero((label != 255) & ~covered)


def test_specks():
    label = np.zeros(SHAPE, np.uint8)
    label[0, 0, :3] = 1  # three in a row
    label[2:4, 2:4, 0] = 1  # four
    label[4, 5, 6] = 2  # one, which touches one of another class
    label[3, 4, 5] = 1
    label[0, 5, 0], label[1, 4, 1], label[2, 5, 2], label[3, 4, 3] = (2,) * 4  # four, connected by corners
    assert specks(label) == 3
    assert specks(label, smallest=5) == 5
    assert specks(np.zeros(SHAPE, np.uint8)) == specks(empty()) == 0


@pytest.mark.parametrize(("numbers", "text"), [([], ""), ([4], "4"), ([1, 2], "1–2"), ([0, 2, 3, 4, 7], "0, 2–4, 7")])
def test_ranges(numbers, text):
    assert ranges(numbers) == text
