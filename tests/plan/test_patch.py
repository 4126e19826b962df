"""Patches, margins and strides, worked out by hand."""

import itertools
import math

import pytest

from common.plan.patch import largest_patch, margin, share_of_scan, stride, wanted_patch


@pytest.mark.parametrize(
    ("size", "sparse", "patch"),
    [
        # Two thirds of 91, 70 and 44 are 60.7, 46.7 and 29.3.
        ((91, 70, 44), True, (64, 48, 32)),
        # Two thirds of 35 are 23.3: the next multiple is 32, which is also the nearest to 35 itself.
        ((35, 51, 35), True, (32, 48, 32)),
        ((35, 51, 35), False, (32, 48, 32)),
        ((91, 70, 44), False, (96, 64, 48)),
        # Ten thick slices: no patch is thinner than 16. Of 384 two thirds are 256.
        ((384, 384, 10), True, (256, 256, 16)),
        # 24 lies in the middle of two multiples.
        ((24, 25, 40), False, (16, 32, 32)),
        ((24, 25, 40), True, (16, 32, 32)),
    ],
)
def test_wanted(size, sparse, patch):
    assert wanted_patch(size, divisor=16, sparse=sparse) == patch


def test_the_largest_patch_loses_about_the_same_along_each_axis():
    # 64 x 48 x 32 halves each side; 80 x 48 x 32 = 122,880 and 64 x 64 x 32 = 131,072 are too many.
    def fits(patch):
        return math.prod(patch) <= 110_592

    assert largest_patch((128, 96, 64), divisor=16, fits=fits) == (64, 48, 32)
    assert largest_patch((80, 80, 64), divisor=16, fits=fits) == (48, 48, 48)
    assert largest_patch((32, 48, 32), divisor=16, fits=fits) == (32, 48, 32)
    assert largest_patch((32, 48, 32), divisor=16, fits=lambda _: False) is None


@pytest.mark.parametrize("wanted", [(64, 64, 64), (160, 48, 16), (96, 128, 32)])
def test_no_patch_that_fits_is_longer_along_every_axis(wanted):
    most = 60_000
    found = largest_patch(wanted, divisor=16, fits=lambda patch: math.prod(patch) <= most)
    assert all(side % 16 == 0 and side <= limit for side, limit in zip(found, wanted, strict=True))
    for other in itertools.product(*(range(16, side + 1, 16) for side in wanted)):
        larger = other != found and all(a >= b for a, b in zip(other, found, strict=True))
        assert not (larger and math.prod(other) <= most)


@pytest.mark.parametrize("size", [(35, 51, 36), (91, 70, 44), (20, 200, 10)])
@pytest.mark.parametrize("patch", [(32, 48, 32), (64, 48, 16), (16, 16, 16)])
def test_margins_let_the_place_of_a_patch_vary_by_half_of_its_side(size, patch):
    for length, side, pad in zip(size, patch, margin(patch, size, sparse=True), strict=True):
        # MONAI pads to the patch's size first if the padded scan is still smaller.
        assert max(length + 2 * pad, side) - side >= side / 2
        assert pad == 0 or length + 2 * (pad - 1) - side < side / 2
    assert margin(patch, size, sparse=False) == (0, 0, 0)


def test_margins_by_hand():
    # 48 - 35 = 13, 72 - 51 = 21: half of it, rounded up.
    assert margin((32, 48, 32), (35, 51, 35), sparse=True) == (7, 11, 7)


def test_strides():
    assert stride((64, 48, 16), (91, 70, 16)) == (32, 24, 16)


def test_share_of_a_scan():
    assert share_of_scan((50, 50, 16), (100, 100, 8)) == pytest.approx(0.25)
