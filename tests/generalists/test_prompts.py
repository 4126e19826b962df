"""Prompts drawn from masks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
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


def similar_points_by_loop(masks, similarity, boxes, points):
    """The negative point of each object, by slice, class and positive points; all similarities must differ."""
    found = {}
    for index, mask in enumerate(masks):
        for value in set(mask.ravel().tolist()) - {0, 255}:
            components, number = ndimage.label(mask == value, np.ones((3, 3)))
            for component in range(1, number + 1):
                pixels = np.argwhere(components == component)
                best = sorted(pixels.tolist(), key=lambda p: -similarity[value - 1, index, p[0], p[1]])[:points]
                top, left = pixels.min(axis=0)
                bottom, right = pixels.max(axis=0) + 1
                key = (index, value, tuple(map(tuple, best)))
                box = boxes[key]
                assert box[0] <= left and box[1] <= top and box[2] >= right and box[3] >= bottom
                outside = [
                    (i, j)
                    for i, j in np.argwhere(mask != value).tolist()
                    if box[0] <= j + 0.5 < box[2] and box[1] <= i + 0.5 < box[3]
                ]
                scores = {pixel: similarity[(value - 1, index, *pixel)] for pixel in outside}
                found[key] = min(scores, key=scores.get) if scores else None
    return found


@pytest.mark.parametrize(("seed", "density", "widen"), [(0, 0.3, (0, 4)), (1, 0.5, (0, 2)), (2, 0.1, (0, 0))])
def test_points_by_similarity_equal_a_loop_over_the_components(seed, density, widen):
    random = np.random.default_rng(seed)
    masks = (random.random((3, 12, 14)) < density).astype(np.uint8)
    masks[random.random(masks.shape) < 0.3] *= 2
    masks[0, 0, :3] = 255
    similarity = random.permutation(2 * masks.size).reshape(2, *masks.shape) / masks.size - 1
    prompts = drawn(masks, seed=seed, min_area_mm2=0, widen_mm=widen, similarity=similarity)
    assert prompts.points.shape == (len(prompts), 6, 2)
    boxes, negatives = {}, {}
    for prompt in range(len(prompts)):
        labels = prompts.point_labels[prompt].tolist()
        pixels = [(y, x) for x, y in prompts.points[prompt].long().tolist()]
        best = tuple(pixel for pixel, label in zip(pixels[:-1], labels[:-1], strict=True) if label == 1)
        assert labels[:-1] == [1] * len(best) + [-1] * (5 - len(best))
        key = (int(prompts.slice_index[prompt]), int(prompts.classes[prompt]), best)
        boxes[key] = prompts.boxes[prompt].tolist()
        negatives[key] = {0: pixels[-1], -1: None}[labels[-1]]
    assert len(boxes) == len(prompts)
    assert negatives == similar_points_by_loop(masks, similarity, boxes, 5)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_similarity_leaves_boxes_and_randomness_alone(kind):
    masks = np.concatenate([two_squares(), two_squares()[::-1]])
    similarity = kind(np.random.default_rng(0).random((2, *masks.shape)))
    states, prompts = [], []
    for settings_ in ({}, {"similarity": similarity}):
        generator = torch.Generator().manual_seed(7)
        prompts.append(prompts_from_masks(masks, (1.0, 1.0), generator, **settings_))
        states.append(generator.get_state())
    plain, similar = prompts
    assert torch.equal(plain.boxes, similar.boxes) and torch.equal(plain.slice_index, similar.slice_index)
    assert torch.equal(*states)
    assert not torch.equal(plain.points, similar.points[:, :5])


def test_points_by_similarity_by_hand():
    masks = np.zeros((1, 4, 5), np.uint8)
    masks[0, 1, 1:3] = 1
    masks[0, 2, 4] = 2
    similarity = np.zeros((2, 1, 4, 5))
    similarity[0, 0, 1, 2] = 0.9
    similarity[0, 0, 2, 2] = -0.5
    similarity[0, 0, 3, 4] = -0.9  # beyond the box
    prompts = drawn(masks, widen_mm=(1, 1), points=3, min_area_mm2=0, similarity=similarity)
    assert prompts.points[0].tolist() == [[2, 1], [1, 1], [1, 1], [2, 2]]
    assert prompts.point_labels[0].tolist() == [1, 1, -1, 0]
    assert prompts.point_labels[1].tolist() == [1, -1, -1, 0]
    tight = drawn(masks, widen_mm=(0, 0), points=0, min_area_mm2=0, similarity=similarity)
    assert tight.point_labels.tolist() == [[-1], [-1]]


def test_nothing_to_prompt_by_similarity():
    assert drawn(np.zeros((2, 5, 5), np.uint8), similarity=np.zeros((1, 2, 5, 5))).points.shape == (0, 6, 2)
    prompts = drawn(two_squares(), min_area_mm2=1000, similarity=np.zeros((2, 3, 12, 20)))
    assert prompts.points.shape == (0, 6, 2) and prompts.point_labels.shape == (0, 6)


@pytest.mark.parametrize(
    ("similarity", "message"),
    [
        (np.zeros((1, 3, 12, 20)), r"K at least 2 .*got shape \(1, 3, 12, 20\)"),
        (np.zeros((2, 3, 20, 12)), r"got shape \(2, 3, 20, 12\)"),
        (np.full((2, 3, 12, 20), np.nan), "similarity must be finite, but 1440"),
    ],
)
def test_bad_similarity(similarity, message):
    with pytest.raises(ValueError, match=message):
        drawn(two_squares(), similarity=similarity)


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


@pytest.mark.parametrize(("spacing", "millimetres"), [(1.0, 10.0), (0.625, 6.25)])
def test_ten_pixels_of_the_papers_spacing(spacing, millimetres):
    """A 4 x 6 object with its corner at row 20 and column 30 of a slice of 64 x 64, all sides moved by 10 pixels."""
    mask = np.zeros((1, 64, 64), np.uint8)
    mask[0, 20:24, 30:36] = 1
    generator = torch.Generator().manual_seed(0)
    found = prompts_from_masks(mask, (spacing, spacing), generator, widen_mm=(millimetres, millimetres))
    torch.testing.assert_close(found.boxes, torch.tensor([[20.0, 10.0, 46.0, 34.0]]))
