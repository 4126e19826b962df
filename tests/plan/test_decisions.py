"""Decisions about spacing, intensities and prompts, worked out by hand."""

import pytest

from common.plan.intensities import intensity_decision
from common.plan.prompts import diameter, views, widening
from common.plan.spacing import coarser, option, spacing_decision, thick_axis, usual_spacing
from tests.plan.made_up import fingerprint


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [((1, 1, 1), None), ((1, 1, 3), None), ((1, 1, 3.1), 2), ((5, 1, 1.5), 0), ((0.5, 0.5, 1.5), None)],
)
def test_thick_slices(spacing, axis):
    assert thick_axis(spacing) == axis


def test_the_median_is_the_target():
    found, reason = usual_spacing(fingerprint(spacings=((1, 1, 2), (0.8, 0.8, 2), (0.9, 0.9, 2.5))))
    assert found == (0.9, 0.9, 2.0) and "median" in reason


def test_thick_slices_of_one_thickness_are_kept():
    assert usual_spacing(fingerprint(spacings=((0.7, 0.7, 5),) * 4))[0] == (0.7, 0.7, 5.0)


def test_of_thick_slices_the_thin_ones_decide():
    thick = [(1.0, 1.0, thickness) for thickness in (3, 4, 5, 6, 7, 8, 8, 8, 8, 8, 8)]
    # The 10th percentile of eleven numbers is the second.
    assert usual_spacing(fingerprint(spacings=thick))[0] == (1.0, 1.0, 4.0)
    thin = [(2.0, 2.0, thickness) for thickness in (1, 1, 7, 7, 7, 7, 7, 7, 7, 7, 7)]
    assert usual_spacing(fingerprint(spacings=thin))[0] == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("spacing", "size", "patch", "expected"),
    [
        # 64^3 of 128^3 is an eighth.
        ((1, 1, 1), (128, 128, 128), (64, 64, 64), None),
        # A 64th: twice as coarse along each axis.
        ((1, 1, 1), (256, 256, 256), (64, 64, 64), (2.0, 2.0, 2.0)),
        # A 13.8th: 1.2 times is too little to be worth it.
        ((1, 1, 1), (153, 153, 153), (64, 64, 64), None),
        # Thick slices stay: a 32nd, so twice along the two other axes.
        ((0.5, 0.5, 5), (512, 256, 16), (64, 64, 16), (1.0, 1.0, 5)),
    ],
)
def test_coarser_voxels_where_a_patch_shows_little(spacing, size, patch, expected):
    found = coarser(spacing, size, patch)
    assert found == (None if expected is None else pytest.approx(expected))


def test_the_command_that_resamples():
    mixed = fingerprint(spacings=((1, 1, 1), (1, 1, 1), (1, 1, 1.2)))
    decision = spacing_decision(mixed, (1.0, 1.0, 1.0), "the median")
    assert "1 of 80 training scans have another" in decision.reason and "--spacing 1," in decision.reason
    assert decision.settings == {}
    same = spacing_decision(fingerprint(), (0.625, 0.625, 0.625), "the median")
    assert same.reason == "It is the median; the cohort has it."
    assert option((0.8, 0.8, 5.0)) == "0.8,0.8,5"


def test_ct_gets_a_window():
    decision = intensity_decision(fingerprint(modality="ct", window=(-160.004, 240, 60, 40)))
    assert decision.settings == {"window": [-160.0, 240, 60, 40], "nonzero": False}


@pytest.mark.parametrize(
    ("changes", "nonzero", "words"),
    [
        ({}, False, "no scale of their own"),
        ({"background": 0.4, "empty_is_zero": True}, True, "40% of a scan's voxels have the value of its corners"),
        ({"background": 0.4, "empty_is_zero": False}, False, "but not 0"),
        ({"background": 0.25, "empty_is_zero": True}, False, "no scale of their own"),
        ({"modality": "ct", "window": None}, False, "no label"),
        ({"modality": "ct", "channels": 2}, False, "several channels"),
    ],
)
def test_others_get_a_z_score(changes, nonzero, words):
    decision = intensity_decision(fingerprint(**changes))
    assert decision.settings == {"window": None, "nonzero": nonzero} and words in decision.reason


def test_boxes_are_widened_by_an_eighth_of_the_smallest_class():
    assert diameter(523.5988) == pytest.approx(10)
    classes = {1: "large", 2: "small"}
    decision = widening(fingerprint(classes=classes, volumes_mm3={1: 100_000, 2: 33_510.3}), (1, 1, 1))
    # A sphere of 33,510 mm3 has a diameter of 40 mm.
    assert decision.settings == {"widen_mm": [0.0, 5.0]} and "small, 40 mm" in decision.reason
    assert widening(fingerprint(volumes_mm3={1: 1.0}), (2, 2, 3)).settings == {"widen_mm": [0.0, 2.0]}
    assert widening(fingerprint(volumes_mm3={}), (1, 1, 1)) is None


@pytest.mark.parametrize(
    ("size", "named"),
    [
        ((183, 140, 88), "all"),
        ((35, 51, 8), "all"),
        # Coronal and sagittal pictures cut across seven slices.
        ((256, 256, 7), "axial"),
        ((5, 256, 256), "sagittal"),
        # Axial pictures of 256 x 6, coronal ones of 256 x 7, sagittal ones of 6 x 7.
        ((256, 6, 7), "coronal"),
        # Nothing is good: axial pictures of 5 x 6, coronal ones of 5 x 7, sagittal ones of 6 x 7.
        ((5, 6, 7), "sagittal"),
    ],
)
def test_views(size, named):
    assert views(size).settings == {"prompted_views": named}
