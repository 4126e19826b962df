"""Cropping and clipping of skull-stripped scans, on scans worked out by hand."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from common.cohort import CohortError
from common.prepare.brain import BrainPreprocessing, brain_mask

AFFINE = np.array([[-2.0, 0, 0, 90], [0, 0, 3.0, -126], [0, 1.5, 0, -72], [0, 0, 0, 1]])
"""A patient's left first, then two axes exchanged: nothing that a wrong crop would leave right by chance."""


def scan(background=0.0):
    """A brain of 3x2x4 voxels that starts at (2, 1, 3), with the intensities 1 to 24."""
    image = np.full((7, 6, 9), background)
    image[2:5, 1:3, 3:7] = np.arange(1, 25).reshape(3, 2, 4)
    return image


@pytest.mark.parametrize("background", [0, -3.5])
def test_every_voxel_stays_where_it_was(background):
    image = scan(background)
    label = (image == 24).astype(np.uint8)
    cropped, cropped_label, affine = BrainPreprocessing(crop=True)(image, label, AFFINE, "scan")
    assert cropped.shape == cropped_label.shape == (3, 2, 4)
    assert cropped.ravel().tolist() == list(range(1, 25))
    assert np.argwhere(cropped_label).tolist() == [[2, 1, 3]]
    # Voxel (4, 2, 6): (-2 * 4 + 90, 3 * 6 - 126, 1.5 * 2 - 72)
    assert (affine @ [2, 1, 3, 1]).tolist() == (AFFINE @ [4, 2, 6, 1]).tolist() == [82, -108, -69, 1]
    assert (affine[:3, :3] == AFFINE[:3, :3]).all()
    assert AFFINE[0, 3] == 90 and image.shape == (7, 6, 9)


def test_percentiles_are_those_of_the_brain():
    """Of 1 to 24, the 50th percentile is 12.5 and the 100th 24; the background of 315 zeros takes no part."""
    image, label, affine = BrainPreprocessing(clip=(50, 100))(scan(), None, AFFINE, "scan")
    assert label is None and (affine == AFFINE).all() and image.dtype == np.float32
    assert np.unique(image).tolist() == [0.0, 12.5, *range(13, 25)]
    assert (image == 0).sum() == 7 * 6 * 9 - 24


def test_whole_numbers_are_clipped_at_fractions():
    image, _, _ = BrainPreprocessing(crop=True, clip=(0, 50))(scan().astype(np.int16), None, AFFINE, "scan")
    assert image.max() == 12.5 and image.min() == 1 and image.shape == (3, 2, 4)


def test_nothing_to_do():
    image = scan()
    image[0, 0, 0] = 1
    assert BrainPreprocessing()(image, None, AFFINE, "scan")[0] is image


def test_a_label_outside_the_box_is_said(caplog):
    label = np.zeros((7, 6, 9), np.uint8)
    label[2, 1, 3] = label[0, 0, 0] = label[6, 5, 8] = 1
    with caplog.at_level(logging.WARNING):
        _, cropped, _ = BrainPreprocessing(crop=True)(scan(), label, AFFINE, "here.nii")
    assert cropped.sum() == 1
    assert "here.nii: 2 voxels of the label lie outside the brain's box" in caplog.text


def test_scans_with_a_skull_are_refused():
    image = scan()
    image[-1, 0, -1] = 4
    with pytest.raises(CohortError, match=r"here\.nii: expected a skull-stripped scan .*found intensities from 0 to 4"):
        BrainPreprocessing(crop=True)(image, None, AFFINE, "here.nii")
    with pytest.raises(ValueError, match="found the intensity 7 everywhere"):
        brain_mask(np.full((2, 2, 2), 7))


@pytest.mark.parametrize("clip", [(99.9,), (5, 5), (10, 5), (-1, 50), (0, 101), (0, 50, 100), (0, float("nan"))])
def test_bad_percentiles(clip):
    with pytest.raises(ValueError, match="clip must be two percentiles in order"):
        BrainPreprocessing(clip=clip)
