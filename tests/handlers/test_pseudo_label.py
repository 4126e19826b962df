"""How good a label map is on annotated voxels."""

import math

import numpy as np

from common.handlers import annotated_dice


def test_by_hand():
    annotation = np.array([[0, 1, 1, 255, 2, 2]], np.uint8)
    prediction = np.array([[1, 1, 255, 1, 2, 0]], np.uint8)
    first = 2 * 1 / (2 + 2)
    second = 2 * 1 / (1 + 2)
    assert math.isclose(annotated_dice(prediction, annotation, num_classes=3), (first + second) / 2)


def test_a_class_that_is_nowhere_does_not_count():
    annotation = np.array([0, 1, 255], np.uint8)
    assert annotated_dice(np.array([0, 1, 2], np.uint8), annotation, num_classes=3) == 1


def test_nothing_to_compare():
    assert math.isnan(annotated_dice(np.zeros(3, np.uint8), np.array([0, 255, 0], np.uint8), num_classes=2))
