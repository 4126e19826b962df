import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from common.annotations import cross_label, middle_slices
from common.cohort import VIEWS

labels = arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 3), elements=st.integers(0, 3))


def test_middle_of_the_bounding_box():
    label = np.zeros((9, 10, 11), np.uint8)
    label[2:6, 3, 4] = 1  # 2..5 along the first axis
    label[3, 3:9, 10] = 2  # 3..8 and 4..10 along the others
    assert middle_slices(label) == {"sagittal": 3, "coronal": 5, "axial": 7}


def test_by_hand():
    label = np.arange(1, 9, dtype=np.uint8).reshape(2, 2, 2)
    two_slices = cross_label(label, {"sagittal": 0, "coronal": 0})
    assert two_slices.tolist() == [[[1, 2], [3, 4]], [[5, 6], [255, 255]]]
    one_slice = cross_label(label, {"axial": 1}, ignore_index=9)
    assert one_slice.tolist() == [[[9, 2], [9, 4]], [[9, 6], [9, 8]]]


@given(label=labels, data=st.data())
def test_annotated_are_exactly_the_slices(label, data):
    slices = {view: data.draw(st.integers(0, label.shape[axis] - 1)) for view, axis in VIEWS.items()}
    before = label.copy()
    annotation = cross_label(label, slices)
    for voxel in np.ndindex(label.shape):
        on_a_slice = any(voxel[VIEWS[view]] == index for view, index in slices.items())
        assert annotation[voxel] == (label[voxel] if on_a_slice else 255)
    assert annotation.dtype == np.uint8
    assert (label == before).all()


@given(label=labels.filter(np.any))
def test_middle_slices_lie_within_the_foreground(label):
    for view, index in middle_slices(label).items():
        occupied = np.nonzero(label)[VIEWS[view]]
        assert occupied.min() <= index <= occupied.max()
        assert abs(2 * index - occupied.min() - occupied.max()) <= 1


def test_not_annotated_voxels_are_no_foreground():
    label = np.full((4, 4, 4), 255, np.uint8)
    label[1, 2, 3] = 1
    assert middle_slices(label) == {"sagittal": 1, "coronal": 2, "axial": 3}


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        ({}, "slices must name at least one view"),
        ({"oblique": 1}, "view must be one of axial, coronal, sagittal, got 'oblique'"),
        ({"axial": 4}, r"axial slice must lie in 0\.\.3 .* got 4"),
        ({"sagittal": -1}, r"sagittal slice must lie in 0\.\.1 .* got -1"),
    ],
)
def test_bad_slices(slices, message):
    with pytest.raises(ValueError, match=message):
        cross_label(np.zeros((2, 3, 4), np.uint8), slices)


def test_bad_labels():
    with pytest.raises(ValueError, match="the label is empty"):
        middle_slices(np.zeros((2, 3, 4), np.uint8))
    with pytest.raises(ValueError, match=r"must be \[H, W, D\]"):
        middle_slices(np.ones((2, 3), np.uint8))
    with pytest.raises(ValueError, match=r"must be \[H, W, D\]"):
        cross_label(np.ones((1, 2, 3, 4), np.uint8), {"axial": 0})
    for wrong in (0.5, 300, -1):
        with pytest.raises(ValueError, match="whole numbers from 0 to 255"):
            cross_label(np.full((2, 2, 2), wrong), {"axial": 0})
