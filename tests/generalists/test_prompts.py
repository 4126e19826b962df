"""Prompts drawn from masks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label as connected

from common.generalists import Prompts, prompts_from_masks


def drawn(masks, spacing=(1.0, 1.0), seed=0, **settings):
    return prompts_from_masks(np.asarray(masks), spacing, torch.Generator().manual_seed(seed), **settings)


def two_squares():
    masks = np.zeros((3, 12, 20), np.uint8)
    masks[1, 2:5, 3:9] = 1
    masks[1, 7:11, 12:18] = 1
    masks[2, 4:8, 4:8] = 2
    return masks


def test_a_box_for_each_component_and_class():
    prompts = drawn(two_squares(), widen_mm=(0, 0))
    assert prompts.boxes.tolist() == [[3, 2, 9, 5], [12, 7, 18, 11], [4, 4, 8, 8]]
    assert prompts.slice_index.tolist() == [1, 1, 2]
    assert prompts.classes.tolist() == [1, 1, 2]
    assert (prompts.point_labels == 1).all()
    assert prompts.points.shape == (3, 5, 2)


@pytest.mark.parametrize(("spacing", "widen"), [((1.0, 1.0), (1, 3)), ((0.5, 2.0), (2, 2))])
def test_widening_is_in_millimetres(spacing, widen):
    masks = np.zeros((40, 60, 60), np.uint8)
    masks[:, 25:35, 20:42] = 1
    boxes = drawn(masks, spacing, widen_mm=widen).boxes
    outwards = (boxes - torch.tensor([20.0, 25, 42, 35])) * torch.tensor([-1.0, -1, 1, 1])
    outwards = outwards * torch.tensor([spacing[1], spacing[0]] * 2)
    assert outwards.min() >= widen[0] - 1e-4
    assert outwards.max() <= widen[1] + 1e-4
    if widen[0] < widen[1]:
        assert outwards.min() < widen[0] + 0.2 and outwards.max() > widen[1] - 0.2


def test_boxes_are_clipped_to_the_slice():
    boxes = drawn(np.ones((2, 6, 8), np.uint8), widen_mm=(5, 5)).boxes
    assert boxes.tolist() == [[0, 0, 8, 6]] * 2


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), density=st.floats(0.05, 0.6))
def test_box_holds_its_component_and_points_lie_in_it(seed, density):
    masks = (np.random.default_rng(seed).random((3, 9, 11)) < density).astype(np.uint8)
    prompts = drawn(masks, seed=seed, min_area_mm2=0, widen_mm=(0, 2))
    labels = [connected(mask, connectivity=2) for mask in masks]
    assert len(prompts) == sum(label.max() for label in labels)
    seen = set()
    for box, points, index in zip(prompts.boxes, prompts.points.long(), prompts.slice_index.tolist(), strict=True):
        components = {int(labels[index][y, x]) for x, y in points}
        assert len(components) == 1
        (component,) = components
        assert component > 0
        seen.add((index, component))
        rows, columns = np.nonzero(labels[index] == component)
        assert box[0] <= columns.min() and box[1] <= rows.min()
        assert box[2] >= columns.max() + 1 and box[3] >= rows.max() + 1
    assert len(seen) == len(prompts)


def test_the_seed_decides():
    masks = two_squares()
    first, again, other = drawn(masks, seed=1), drawn(masks, seed=1), drawn(masks, seed=2)
    assert torch.equal(first.boxes, again.boxes) and torch.equal(first.points, again.points)
    assert not torch.equal(first.boxes, other.boxes)


def test_small_components_are_dropped_by_area_in_millimetres():
    assert len(drawn(two_squares(), min_area_mm2=17)) == 2
    assert len(drawn(two_squares(), (2.0, 2.0), min_area_mm2=17)) == 3


def test_largest_is_by_slice_and_class():
    prompts = drawn(two_squares(), largest=1, widen_mm=(0, 0))
    assert prompts.boxes.tolist() == [[12, 7, 18, 11], [4, 4, 8, 8]]


def test_not_annotated_is_background():
    masks = np.full((1, 5, 5), 255, np.uint8)
    assert len(drawn(masks)) == 0
    masks[0, 1:4, 1:4] = 3
    assert drawn(masks).classes.tolist() == [3]


def test_nothing_to_prompt():
    prompts = drawn(np.zeros((2, 5, 5), np.uint8), points=3)
    assert len(prompts) == 0 and prompts.points.shape == (0, 3, 2)


def test_join_pads_points_and_orders_by_slice():
    first = drawn(two_squares(), points=2)
    second = drawn(two_squares(), points=4)
    joined = Prompts.join([first, second])
    assert joined.slice_index.tolist() == [1, 1, 1, 1, 2, 2]
    assert joined.point_labels[0].tolist() == [1, 1, -1, -1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widen_mm": (3, 1)}, "widen_mm"),
        ({"points": -1}, "points"),
        ({"largest": 0}, "largest"),
        ({"spacing": (1.0, 0.0)}, "spacing"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        drawn(two_squares(), **settings)


def test_bad_shape():
    with pytest.raises(ValueError, match=r"\[S, Hs, Ws\], got shape \(4, 4\)"):
        drawn(np.zeros((4, 4), np.uint8))
