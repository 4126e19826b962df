import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from common.metrics import segmentation_scores, surface_distances

SPACINGS = [None, (1.0, 1.0, 1.0), (0.5, 2.0, 1.25)]
masks = st.tuples(*[st.integers(1, 5)] * 3).flatmap(
    lambda shape: st.tuples(*[arrays.arrays(bool, shape, elements=st.booleans(), fill=st.nothing())] * 2)
)


def surface_voxels(mask):
    """By definition: voxels with one of the 6 neighbours outside the object or the grid."""
    surface = []
    for voxel in np.argwhere(mask):
        neighbours = [voxel + step * np.eye(3, dtype=int)[axis] for axis in range(3) for step in (-1, 1)]
        if any((n < 0).any() or (n >= mask.shape).any() or not mask[tuple(n)] for n in neighbours):
            surface.append(voxel)
    return surface


def by_brute_force(prediction, reference, spacing):
    def directed(start, end):
        return [min(math.dist(a * spacing, b * spacing) for b in end) for a in start]

    first, second = surface_voxels(prediction), surface_voxels(reference)
    forth, back = directed(first, second), directed(second, first)
    return np.percentile(forth + back, 95), np.mean(forth)


def ball(shape, centre, radius):
    grid = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    return (grid**2).sum(0) <= radius**2


def test_two_single_voxels():
    first, second = np.zeros((2, 6, 6, 6), bool)
    first[1, 1, 1] = second[4, 5, 1] = True
    assert surface_distances(first, second) == (5.0, 5.0)
    assert surface_distances(first, second, (2.0, 0.5, 1.0)) == pytest.approx((math.sqrt(40), math.sqrt(40)))


def test_cube_in_a_cube():
    """A 3-cube centred in a 5-cube: its 26 surface voxels are all 1 away; the percentile counts both directions."""
    outer, inner = np.zeros((2, 7, 7, 7), bool)
    outer[1:6, 1:6, 1:6] = True
    inner[2:5, 2:5, 2:5] = True
    distances = surface_distances(inner, outer)
    assert distances.asd == 1.0
    # of 26 + 98 distances, 8 corners at √3 are the top 6.5 %
    assert distances.hd95 == pytest.approx(math.sqrt(3))


@pytest.mark.parametrize("spacing", SPACINGS)
@given(pair=masks)
@settings(max_examples=40, deadline=None)
def test_equals_brute_force(spacing, pair):
    prediction, reference = pair
    distances = surface_distances(prediction, reference, spacing)
    if not prediction.any() or not reference.any():
        assert np.isnan(distances).all()
    else:
        assert distances == pytest.approx(by_brute_force(prediction, reference, np.array(spacing or (1, 1, 1))))


@pytest.mark.parametrize("spacing", SPACINGS)
def test_equals_brute_force_on_larger_objects(spacing):
    prediction, reference = ball((16, 15, 14), (7, 7, 6), 4.5), ball((16, 15, 14), (9, 6, 7), 4)
    expected = by_brute_force(prediction, reference, np.array(spacing or (1, 1, 1)))
    assert surface_distances(prediction, reference, spacing) == pytest.approx(expected)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_equals_medpy(spacing):
    binary = pytest.importorskip("medpy.metric.binary")
    for centre, radius in itertools.product([(10, 12, 9), (0, 20, 5)], [3, 6.5]):
        prediction, reference = ball((24, 25, 20), centre, radius), ball((24, 25, 20), (12, 12, 10), 6)
        expected = binary.hd95(prediction, reference, spacing), binary.asd(prediction, reference, spacing)
        assert surface_distances(prediction, reference, spacing) == pytest.approx(expected, rel=1e-12)


@given(pair=masks.filter(lambda pair: pair[0].any() and pair[1].any()))
@settings(deadline=None)
def test_properties(pair):
    prediction, reference = pair
    forth, back = surface_distances(prediction, reference), surface_distances(reference, prediction)
    assert forth.hd95 == back.hd95
    assert surface_distances(prediction, prediction) == (0.0, 0.0)
    padded = surface_distances(np.pad(prediction, 3), np.pad(reference, 3), (2.0, 2.0, 2.0))
    assert padded == pytest.approx((2 * forth.hd95, 2 * forth.asd))


def test_scores_by_hand():
    prediction, reference = np.zeros((2, 3, 3, 4), np.uint8)
    prediction[1, 1, 0:2] = 1
    reference[1, 1, 1:4] = 1
    assert segmentation_scores(prediction, reference, (1.0, 1.0, 2.5)) == {
        "dice": 2 * 1 / 5,
        "jaccard": 1 / 4,
        "hd95_voxel": pytest.approx(np.percentile([1, 0, 0, 1, 2], 95)),
        "asd_voxel": 0.5,
        "hd95_mm": pytest.approx(2.5 * np.percentile([1, 0, 0, 1, 2], 95)),
        "asd_mm": 1.25,
        "missing": False,
    }


@pytest.mark.parametrize(
    ("prediction", "reference", "overlap", "missing"),
    [(0, 1, 0.0, True), (1, 0, 0.0, False), (0, 0, math.nan, False)],
)
def test_empty_masks(prediction, reference, overlap, missing):
    scores = segmentation_scores(np.full((2, 2, 2), prediction), np.full((2, 2, 2), reference), (1, 1, 1))
    assert [scores["dice"], scores["jaccard"]] == pytest.approx([overlap] * 2, nan_ok=True)
    assert np.isnan([scores[name] for name in ("hd95_voxel", "asd_voxel", "hd95_mm", "asd_mm")]).all()
    assert scores["missing"] is missing


def test_bad_input():
    with pytest.raises(ValueError, match="must have the same shape"):
        surface_distances(np.ones((2, 2, 2)), np.ones((2, 2, 3)))
    for spacing in [(1.0, 1.0), (1.0, 0.0, 1.0)]:
        with pytest.raises(ValueError, match="spacing must be 3 numbers above 0"):
            surface_distances(np.ones((2, 2, 2)), np.ones((2, 2, 2)), spacing)
