"""What a saved label map means, one rule after the other. The scans are small and everything is counted by hand."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.annotations import NothingAnnotated, annotation_from_segments, cross_label

SHAPE = (20, 22, 24)
AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])
LABELS = {1: "left atrium", 2: "scar"}
SEGMENTS = {1: "scar", 2: "Left_Atrium ", 3: "Annotated Background", 4: "whole scan", 5: "background", 6: "vein"}
REQUESTED = {"axial": 12, "coronal": 11, "sagittal": 10}
AXES = {"axial": 2, "coronal": 1, "sagittal": 0}
ATRIUM, SCAR, BACKGROUND, WHOLE, PLAIN, VEIN = 2, 1, 3, 4, 5, 6


def meaning(voxels, affine=AFFINE, requested=REQUESTED, segments=SEGMENTS):
    return annotation_from_segments(
        voxels, affine, segments=segments, labels=LABELS, requested=requested, annotator="ann"
    )


def plane(view, index=None):
    where = [slice(None)] * 3
    where[AXES[view]] = REQUESTED[view] if index is None else index
    return tuple(where)


def empty():
    return np.zeros(SHAPE, np.int16)


def organ():
    """A block of 9 x 9 x 9 voxels around the place where the requested slices cross."""
    mask = np.zeros(SHAPE, bool)
    mask[6:15, 7:16, 8:17] = True
    return mask


def draw(voxels, view, thickness=0):
    """Paints the organ on a requested slice, with a brush that spills over some slices on either side."""
    middle = REQUESTED[view]
    for index in range(middle - thickness, middle + thickness + 1):
        voxels[plane(view, index)][organ()[plane(view, index)]] = ATRIUM
    return voxels


def truth():
    return organ().astype(np.uint8)


@pytest.mark.parametrize("views", [["axial"], ["coronal", "sagittal"], ["axial", "coronal", "sagittal"]])
def test_requested_slices_that_are_drawn_on_count_whole(views):
    voxels = empty()
    for view in views:
        draw(voxels, view)
    found = meaning(voxels)
    assert found.slices == {view: REQUESTED[view] for view in views}
    assert np.array_equal(found.array, cross_label(truth(), found.slices))
    assert (found.array.dtype, found.annotator) == (np.uint8, "ann")


@pytest.mark.parametrize("thickness", [1, 2, 3])
@pytest.mark.parametrize("views", [["axial"], ["sagittal"], ["axial", "coronal"], ["axial", "coronal", "sagittal"]])
def test_a_brush_that_spills_over_adds_nothing(views, thickness):
    voxels = empty()
    for view in views:
        draw(voxels, view, thickness)
    found = meaning(voxels)
    assert found.slices == {view: REQUESTED[view] for view in views}
    assert np.array_equal(found.array, cross_label(truth(), found.slices))


def test_a_round_brush_on_thick_slices():
    """A sphere of 4 mm reaches four slices of 1 mm, but no neighbouring axial slice of 5 mm."""
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1) * [1.0, 1.0, 5.0]
    voxels = empty()
    for place in np.argwhere(organ()[plane("axial")]):
        centre = np.array([*place, REQUESTED["axial"]]) * [1.0, 1.0, 5.0]
        voxels[np.linalg.norm(grid - centre, axis=-1) <= 4] = ATRIUM
    assert set(np.flatnonzero(voxels.any(axis=(0, 1)))) == {12}
    assert meaning(voxels, affine).slices == {"axial": 12}
    voxels = empty()
    for place in np.argwhere(organ()[plane("sagittal")]):
        centre = np.array([REQUESTED["sagittal"], *place]) * [1.0, 1.0, 5.0]
        voxels[np.linalg.norm(grid - centre, axis=-1) <= 4] = ATRIUM
    assert set(np.flatnonzero(voxels.any(axis=(1, 2)))) == set(range(6, 15))
    assert meaning(voxels, affine).slices == {"sagittal": 10}


def test_a_stray_click_far_away_changes_nothing():
    voxels = draw(draw(empty(), "axial"), "coronal")
    voxels[0, 0, 0] = ATRIUM
    found = meaning(voxels)
    assert found.slices == {"axial": 12, "coronal": 11}
    assert found.array[0, 0, 0] == 255


def test_drawings_beside_the_requested_slices_do_not_count():
    voxels = empty()
    voxels[plane("axial", 10)][organ()[plane("axial", 10)]] = ATRIUM
    with pytest.raises(NothingAnnotated, match=r"1 left atrium, 2 scar.*axial 12.*drawings on none of these slices"):
        meaning(voxels)
    with pytest.raises(NothingAnnotated, match=r"annotated background.*whole scan"):
        meaning(voxels)


def test_nothing_drawn():
    with pytest.raises(NothingAnnotated, match="found nothing drawn"):
        meaning(empty())
    with pytest.raises(NothingAnnotated, match="on whole slices, found drawings on none"):
        meaning(draw(empty(), "axial"), requested=None)


def test_values_follow_the_segments_and_not_the_classes():
    voxels = empty()
    voxels[6:10, 11, 12], voxels[10:15, 11, 12], voxels[6:15, 12:14, 12], voxels[0, 0, 12] = SCAR, ATRIUM, SCAR, PLAIN
    found = meaning(voxels).array[:, :, 12]
    assert [int(found[place]) for place in ((6, 11), (10, 11), (6, 13), (0, 0), (19, 21))] == [2, 1, 2, 0, 0]


def test_with_annotated_background_only_what_is_coloured_on_the_requested_slices_counts():
    voxels = draw(empty(), "axial", thickness=1)
    voxels[0:5, :, 11:14] = BACKGROUND
    found = meaning(voxels)
    coloured = np.zeros(SHAPE, bool)
    coloured[6:15, 7:16, 12] = coloured[0:5, :, 12] = True
    coloured[6:15, 11, 11:14] = coloured[10, 7:16, 11:14] = coloured[0:5, 11, 11:14] = True
    assert np.array_equal(found.array != 255, coloured)
    assert np.array_equal(found.array[coloured], truth()[coloured])
    assert found.slices == {"axial": 12}


def test_with_annotated_background_slices_coloured_throughout_count_too():
    voxels = empty()
    for view, index in (("axial", 9), ("axial", 15), ("coronal", 11)):
        voxels[plane(view, index)] = np.where(organ()[plane(view, index)], ATRIUM, BACKGROUND)
    voxels[0, 0, 0] = SCAR
    found = meaning(voxels)
    expected = np.full(SHAPE, 255, np.uint8)
    for view, index in (("axial", 9), ("axial", 15), ("coronal", 11)):
        expected[plane(view, index)] = truth()[plane(view, index)]
    assert np.array_equal(found.array, expected)
    assert found.slices == {"axial": 9, "coronal": 11}, "of two complete axial slices the first is as close to 12"
    assert np.array_equal(meaning(voxels, requested=None).array, expected)


def test_the_drawing_that_was_made_beforehand_is_a_whole_cross_label():
    voxels = empty()
    for view in AXES:
        voxels[plane(view)] = np.where(organ()[plane(view)], ATRIUM, BACKGROUND)
    found = meaning(voxels)
    assert found.slices == REQUESTED
    assert np.array_equal(found.array, cross_label(truth(), REQUESTED))
    assert found.voxels == 20 * 22 + 20 * 24 + 22 * 24 - 20 - 22 - 24 + 1


def test_one_stroke_of_whole_scan_makes_it_dense():
    voxels = np.where(organ(), ATRIUM, 0)
    voxels[0, 0, 0], voxels[1, 1, 1] = WHOLE, BACKGROUND
    found = meaning(voxels)
    assert found.slices is None
    assert np.array_equal(found.array, truth())


def test_a_map_with_255_is_taken_as_it_is():
    voxels = cross_label(truth() * 2, {"axial": 12, "sagittal": 3}).astype(np.int32)
    found = meaning(voxels)
    assert np.array_equal(found.array, voxels)
    assert found.slices == {"axial": 12, "sagittal": 3}
    with pytest.raises(NothingAnnotated, match="every voxel at 255"):
        meaning(np.full(SHAPE, 255))
    voxels[0, 0, 0] = 3
    with pytest.raises(ValueError, match=r"expected 0 background, 1 left atrium, 2 scar and 255 .*found 3"):
        meaning(voxels)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL"])
def test_the_orientation_of_the_file_does_not_matter(codes):
    """The same drawing in another orientation gives the same annotation on the RAS grid."""
    voxels = draw(draw(empty(), "axial", 1), "coronal", 1)
    affine = np.array([[0.8, 0, 0, -5], [0, 0.9, 0, 7], [0, 0, 1.5, 3], [0, 0, 0, 1.0]])
    expected = meaning(voxels, affine)
    orientation = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
    )
    image = nib.Nifti1Image(voxels, affine).as_reoriented(orientation)
    assert nib.aff2axcodes(image.affine) == tuple(codes)
    found = meaning(np.asanyarray(image.dataobj), image.affine)
    assert np.array_equal(found.array, expected.array) and np.allclose(found.affine, affine)
    assert found.slices == expected.slices == {"axial": 12, "coronal": 11}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (VEIN, "expected segments named left atrium, scar, annotated background, whole scan, found 'vein'"),
        (9, "expected a segment for every voxel value .*found 9"),
        (300, "whole numbers from 0 to 255, found 300"),
        (1.5, r"found 1\.5"),
    ],
)
def test_values_that_mean_nothing(value, message):
    voxels = draw(empty(), "axial").astype(np.float32)
    voxels[0, 0, 0] = value
    with pytest.raises(ValueError, match=message):
        meaning(voxels)


@pytest.mark.parametrize("segment", [BACKGROUND, WHOLE])
def test_without_any_class_there_is_nothing_to_learn_from(segment):
    voxels = empty()
    voxels[plane("axial")] = segment
    with pytest.raises(ValueError, match="found only background"):
        meaning(voxels)


@pytest.mark.parametrize("requested", [{"axial": 24}, {"axial": -1}, {"oblique": 3}])
def test_requests_of_slices_that_do_not_exist(requested):
    with pytest.raises(ValueError, match=r"requested slices must be some of axial 0\.\.23, coronal 0\.\.21"):
        meaning(draw(empty(), "axial"), requested=requested)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), background=st.booleans())
def test_no_voxel_gets_a_class_that_was_not_drawn_there(seed, background):
    """Whatever is scribbled: what is annotated has the class of its segment, or is uncoloured background."""
    rng = np.random.default_rng(seed)
    voxels = np.zeros((6, 7, 8), np.int16)
    for _ in range(rng.integers(1, 8)):
        start = rng.integers(0, [6, 7, 8])
        size = rng.integers(1, 5, 3)
        voxels[tuple(slice(*it) for it in zip(start, start + size, strict=True))] = rng.integers(0, 3 + background)
    try:
        found = meaning(voxels, requested={"axial": 4, "sagittal": 2})
    except ValueError:
        return
    drawn = np.array([0, 2, 1, 0])[voxels]
    annotated = found.array != 255
    assert np.array_equal(found.array[annotated], drawn[annotated])
    if (voxels == BACKGROUND).any():
        assert (voxels[annotated] != 0).all()
