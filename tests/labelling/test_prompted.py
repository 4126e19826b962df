"""Masks of what an annotator points at."""

import numpy as np
import pytest
import torch

from common.generalists import EmbeddedGeneralist
from common.labelling import prompted_mask
from common.labelling.prompted import Plane

SPACING = (1.0, 2.0, 4.0)


class Recorder:
    """A generalist that fills each box, with less certainty the larger it is, and keeps what it was given."""

    def __init__(self):
        self.calls = []

    def segment(self, images, prompts, spacing):
        self.calls.append((images, prompts, spacing))
        found = torch.zeros((len(prompts), *images.shape[1:]))
        for mask, (left, top, right, bottom) in zip(found, prompts.boxes.round().int().tolist(), strict=True):
            mask[top:bottom, left:right] = 0.9
        return found


def test_box_and_points_in_pixels_of_each_slice():
    scan = np.arange(10 * 11 * 12, dtype=np.float32).reshape(10, 11, 12)
    planes = [Plane(2, 5), Plane(1, 4), Plane(0, 3)]
    given = Recorder()
    mask = prompted_mask(
        given, scan, SPACING, planes, foreground=[(3, 4, 5)], background=[(8, 4, 5)], box=(2, 3, 6, 8, 4, 9)
    )
    images = [scan[:, :, 5], scan[:, 4], scan[3]]
    boxes = [(3, 2, 8, 6), (4, 2, 9, 6), (4, 3, 9, 8)]  # x along the second axis that is left, y along the first
    points = [[(4, 3), (4, 8)], [(5, 3), (5, 8)], [(5, 4)]]  # the negative point does not lie on the third slice
    spacings = [(1.0, 2.0), (1.0, 4.0), (2.0, 4.0)]
    for call, image, box, there, spacing in zip(given.calls, images, boxes, points, spacings, strict=True):
        np.testing.assert_array_equal(call[0][0], image)
        assert call[1].boxes.tolist() == [list(box)]
        assert call[1].points[0].tolist() == [list(point) for point in there]
        assert call[1].point_labels[0].tolist() == [1, 0][: len(there)]
        assert call[2] == spacing
    expected = np.zeros(scan.shape, np.uint8)
    expected[2:6, 3:8, 5] = expected[2:6, 4, 4:9] = expected[3, 3:8, 4:9] = 1
    np.testing.assert_array_equal(mask, expected)


def test_slices_without_a_prompt_stay_empty():
    scan = np.zeros((10, 11, 12), np.float32)
    mask = prompted_mask(Recorder(), scan, SPACING, [Plane(2, 5), Plane(2, 9)], box=(2, 3, 6, 8, 4, 9))
    assert mask[:, :, 5].sum() == 20 and mask.sum() == 20


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({"foreground": [(1, 1, 6)]}, "expected a box, or a point"),
        ({"background": [(1, 1, 5)]}, "expected a box, or a point"),
        ({"foreground": [(1, 11, 5)]}, "within the scan"),
        ({"foreground": [(1, 5)]}, "within the scan"),
        ({"box": (2, 3, 6, 8)}, "i0, j0, i1, j1, k0, k1"),
        ({"box": (6, 3, 6, 8, 4, 9)}, "must hold voxels"),
        ({"box": (20, 3, 26, 8, 4, 9)}, "must hold voxels"),
    ],
)
def test_prompts_that_mark_nothing_are_refused(prompt, message):
    with pytest.raises(ValueError, match=message):
        prompted_mask(Recorder(), np.zeros((10, 11, 12), np.float32), SPACING, [Plane(2, 5)], **prompt)


@pytest.mark.parametrize("radius", [5, 9, 15])
def test_one_click_finds_a_disc(radius):
    i, j = np.mgrid[:64, :64]
    disc = (i - 30) ** 2 + (j - 35) ** 2 <= radius**2
    scan = np.zeros((64, 64, 3), np.float32)
    scan[:, :, 1] = 100 * disc + np.random.default_rng(0).normal(0, 8, disc.shape)
    mask = prompted_mask(EmbeddedGeneralist(), scan, (1.25,) * 3, [Plane(2, 1)], foreground=[(30, 35, 1)])
    found = mask[:, :, 1] > 0
    assert 2 * (found & disc).sum() / (found.sum() + disc.sum()) > 0.9
    assert not mask[:, :, [0, 2]].any()
