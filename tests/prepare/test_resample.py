from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.prepare.resample import resample_image, resample_label

ONE = np.eye(4)


def test_half_resolution_is_the_mean_of_eight_by_hand():
    image = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    result, affine = resample_image(image, ONE, 2.0)
    assert result.tolist() == [[[3.5]]]
    assert affine.tolist() == [[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 2, 0.5], [0, 0, 0, 1]]


def test_an_odd_end_is_averaged_over_what_is_there():
    result, _ = resample_image(np.array([1.0, 3.0, 8.0]).reshape(3, 1, 1), ONE, (2, 1, 1))
    assert result.ravel().tolist() == [2, 8]


def test_finer_is_linear():
    result, affine = resample_image(np.array([0.0, 4.0]).reshape(2, 1, 1), ONE, (0.5, 1, 1))
    assert result.ravel().tolist() == [0, 1, 3, 4]
    assert affine[0].tolist() == [0.5, 0, 0, -0.25]


def test_a_label_goes_to_the_largest_share_and_ties_to_the_lower_class():
    label = np.array([[1, 1, 1, 2], [0, 0, 1, 1], [2, 2, 0, 3]], np.uint8).reshape(3, 4, 1)
    result, _ = resample_label(label, ONE, (1, 4, 1))
    assert result.dtype == np.uint8
    assert result.ravel().tolist() == [1, 0, 2]


def test_the_own_spacing_changes_nothing():
    rng = np.random.default_rng(0)
    affine = np.diag([-0.625, 0.625, 0.625, 1]).astype(float)
    image = rng.normal(size=(5, 6, 7)).astype(np.float32)
    label = rng.integers(0, 4, (5, 6, 7), dtype=np.uint8)
    assert np.array_equal(resample_image(image, affine, 0.625)[0], image)
    assert np.array_equal(resample_label(label, affine, 0.625)[0], label)
    assert np.array_equal(resample_image(image, affine, 0.625)[1], affine)


@settings(deadline=None, max_examples=30)
@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 4)] * 3),
    own=st.floats(0.5, 2),
    seed=st.integers(0, 99),
)
def test_resampling_stays_in_range_and_keeps_constants_and_the_outer_corner(shape, spacing, own, seed):
    affine = np.diag([own, -own, own, 1.0])
    image = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    result, new_affine = resample_image(image, affine, spacing)
    assert result.min() >= image.min() - 1e-4
    assert result.max() <= image.max() + 1e-4
    assert np.allclose(resample_image(np.ones(shape), affine, spacing)[0], 1, atol=1e-5)
    outer = [-0.5, -0.5, -0.5, 1]
    assert np.allclose(affine @ outer, new_affine @ outer)
    label = (image > 0).astype(np.uint8)
    half, _ = resample_label(label, affine, spacing)
    assert half.shape == result.shape
    assert set(np.unique(half)) <= set(np.unique(label))


@pytest.mark.parametrize("spacing", [0, -1, float("nan"), float("inf"), (1, 1), (1, 1, 0)])
def test_a_senseless_spacing(spacing):
    with pytest.raises(ValueError, match="spacing must be one or three positive numbers"):
        resample_image(np.zeros((2, 2, 2)), ONE, spacing)
