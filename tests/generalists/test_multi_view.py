"""Labelling of volumes in three views."""

import numpy as np
import pytest
import torch

from common.generalists import EmbeddedGeneralist, MultiViewLabeler
from tests.generalists.stand_ins import BoxGeneralist, ThresholdGeneralist


def cuboids(classes=1):
    label = np.zeros((14, 16, 18), np.uint8)
    label[2:7, 3:9, 4:12] = 1
    if classes > 1:
        label[9:13, 10:15, 3:9] = 2
    return label


@pytest.mark.parametrize("fusion", ["majority", "unanimous", "mean"])
@pytest.mark.parametrize("classes", [1, 2])
def test_boxes_of_cuboids_are_the_cuboids(fusion, classes):
    label = cuboids(classes)
    labeler = MultiViewLabeler(BoxGeneralist(), fusion, widen_mm=(0, 0), abstain=True)
    found = labeler(torch.zeros(label.shape), label, (1.0, 2.0, 3.0))
    assert found.dtype == torch.uint8
    assert torch.equal(found, torch.from_numpy(label))


def test_each_view_finds_the_object_in_widened_boxes():
    label = cuboids()
    image = torch.from_numpy(label).float()
    views = MultiViewLabeler(ThresholdGeneralist(), widen_mm=(2, 5)).view_probabilities(image, label, (1.0, 1.0, 1.0))
    assert views.shape == (3, 2, *label.shape)
    assert torch.equal(views[:, 1], image.expand(3, *image.shape))
    assert torch.equal(views.sum(dim=1), torch.ones(3, *image.shape))


def test_widening_differs_by_view_and_two_views_are_needed():
    label = cuboids()
    found = MultiViewLabeler(BoxGeneralist(), widen_mm=(2, 2))(torch.zeros(label.shape), label, (1.0, 1.0, 1.0))
    # a view widens the two axes of its slices: beyond a face two views say foreground, beyond an edge only one does
    assert found[4, 5, 3] == 1 and found[1, 5, 8] == 1 and found[1, 2, 8] == 0


def test_the_most_probable_class_gets_the_voxel():
    class Graded(BoxGeneralist):
        def segment(self, images, prompts, spacing):
            return (
                super().segment(images, prompts, spacing) * torch.where(prompts.classes == 2, 0.9, 0.7)[:, None, None]
            )

    label = np.zeros((6, 6, 6), np.uint8)
    label[1:5, 1:5, 1:3] = 1
    label[1:5, 1:5, 3:5] = 2
    views = MultiViewLabeler(Graded(), widen_mm=(3, 3)).view_probabilities(torch.zeros(6, 6, 6), label, (1, 1, 1))
    torch.testing.assert_close(views.sum(dim=1), torch.ones(3, 6, 6, 6))
    assert (views[1, :, 3, 3, 2].argmax()) == 2


def test_empty_prediction_is_all_background():
    found = MultiViewLabeler(BoxGeneralist())(torch.zeros(4, 5, 6), np.zeros((4, 5, 6), np.uint8), (1, 1, 1))
    assert found.shape == (4, 5, 6) and not found.any()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 8, 9), (7, 1, 6)])
def test_slices_of_one_pixel(shape):
    labeler = MultiViewLabeler(EmbeddedGeneralist(precision="fp32"), min_area_mm2=0)
    found = labeler(torch.rand(shape), np.ones(shape, np.uint8), (1, 1, 1))
    assert found.shape == shape


def test_the_seed_decides():
    label = cuboids()
    labeler = MultiViewLabeler(BoxGeneralist(), "mean")
    found = [labeler(torch.zeros(label.shape), label, (1, 1, 1), seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_chunks_change_nothing():
    label = cuboids(2)
    image = torch.rand(label.shape)
    found = [
        MultiViewLabeler(ThresholdGeneralist(), prompts_per_call=number)(image, label, (1, 1, 1))
        for number in (1, 7, 99)
    ]
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_inputs_are_left_alone():
    label = cuboids()
    label[0, 0, 0] = 255
    image, before = torch.rand(label.shape), label.copy()
    kept = image.clone()
    MultiViewLabeler(BoxGeneralist(), largest_volumes=1)(image, label, (1, 1, 1))
    assert (label == before).all() and torch.equal(image, kept)


def test_largest_volumes():
    alone = cuboids()
    stray = alone.copy()
    stray[12, 14, 16] = 1

    def labelled(label, largest_volumes):
        labeler = MultiViewLabeler(BoxGeneralist(), min_area_mm2=0, largest_volumes=largest_volumes)
        return labeler(torch.zeros(label.shape), label, (1, 1, 1))

    assert torch.equal(labelled(stray, 1), labelled(alone, None))
    assert torch.equal(labelled(stray, 2), labelled(stray, None))
    assert not torch.equal(labelled(stray, 1), labelled(stray, 2))


class Recorder(BoxGeneralist):
    """Remembers the prompts of each view."""

    def __init__(self):
        self.prompts = []

    def segment(self, images, prompts, spacing):
        self.prompts.append(prompts)
        return super().segment(images, prompts, spacing)


@pytest.mark.parametrize("call", ["__call__", "view_probabilities"])
def test_similarity_decides_the_points_of_each_view(call):
    label = cuboids(2)
    similarity = torch.rand(2, *label.shape, generator=torch.Generator().manual_seed(0))
    plain, similar = Recorder(), Recorder()
    results = []
    for generalist, keywords in ((plain, {}), (similar, {"similarity": similarity})):
        labeler = MultiViewLabeler(generalist, widen_mm=(1, 3), points=2)
        results.append(getattr(labeler, call)(torch.zeros(label.shape), label, (1.0, 1.0, 1.0), seed=4, **keywords))
    assert torch.equal(*results)
    for axis, without, prompts in zip((2, 1, 0), plain.prompts, similar.prompts, strict=True):
        assert torch.equal(without.boxes, prompts.boxes)
        slices = similarity.movedim(axis + 1, 1)
        masks = torch.from_numpy(label).movedim(axis, 0)
        for points, index, value in zip(prompts.points.long(), prompts.slice_index, prompts.classes, strict=True):
            scores = slices[value - 1, index]
            inside = scores[masks[index] == value].sort(descending=True).values
            assert [scores[y, x].item() for x, y in points[:2]] == inside[:2].tolist()
            x, y = points[2]
            assert masks[index, y, x] != value
        assert (prompts.point_labels == torch.tensor([1, 1, 0])).all()


@pytest.mark.parametrize("shape", [(1, 14, 16, 18), (2, 14, 18, 16), (14, 16, 18)])
def test_similarity_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"similarity must be \[K, H, W, D\] with K at least 2"):
        MultiViewLabeler(BoxGeneralist())(torch.zeros(14, 16, 18), cuboids(2), (1, 1, 1), similarity=torch.zeros(shape))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_intensities_must_be_finite(value):
    image = torch.zeros(14, 16, 18)
    image[1, 2, 3] = value
    with pytest.raises(ValueError, match=rf"1 voxels are NaN or infinite, the first at \(1, 2, 3\): {value}"):
        MultiViewLabeler(BoxGeneralist())(image, cuboids(), (1, 1, 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fusion": "best"}, "fusion must be one of"),
        ({"views": ("axial", "oblique")}, "views must be some of"),
        ({"prompts_per_call": 0}, "prompts_per_call"),
        ({"largest_volumes": 0}, "largest_volumes"),
        ({"specialist_views": -1}, "specialist_views"),
        ({"least_confidence": 1.1}, "least_confidence"),
        ({"num_classes": 1}, "num_classes"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        MultiViewLabeler(BoxGeneralist(), **settings)


@pytest.mark.parametrize(
    ("image", "prediction", "spacing", "message"),
    [
        (torch.zeros(4, 4, 4), np.zeros((4, 4, 5), np.uint8), (1, 1, 1), "one grid"),
        (torch.zeros(4, 4, 4), np.full((4, 4, 4), 3, np.uint8), (1, 1, 1), r"classes 0\.\.1"),
        (torch.zeros(4, 4, 4), np.zeros((4, 4, 4), np.uint8), (1, 1, 0), "spacing"),
    ],
)
def test_bad_input(image, prediction, spacing, message):
    with pytest.raises(ValueError, match=message):
        MultiViewLabeler(BoxGeneralist(), num_classes=2)(image, prediction, spacing)


class Halved(BoxGeneralist):
    """Half as sure as its boxes."""

    def segment(self, images, prompts, spacing):
        return 0.5 * super().segment(images, prompts, spacing)


def test_the_specialist_counts_for_some_views_and_unsure_voxels_are_left_out():
    """Three views at 0.5 inside a cuboid, and the specialist as two views: 0.8 to the left, 0.1 to the right."""
    label = cuboids()
    probabilities = torch.zeros(2, *label.shape)
    probabilities[1, :, :, :8], probabilities[1, :, :, 8:] = 0.8, 0.1
    probabilities[0] = 1 - probabilities[1]
    settings = {"widen_mm": (0, 0), "specialist_views": 2}

    found = MultiViewLabeler(Halved(), "mean", **settings)(
        torch.zeros(label.shape), label, (1.0, 1.0, 1.0), specialist=probabilities
    )
    # inside: (3 * 0.5 + 2 * 0.8) / 5 = 0.62 and (3 * 0.5 + 2 * 0.1) / 5 = 0.34; outside: 2 * 0.8 / 5 = 0.32 and 0.04
    expected = torch.from_numpy(label) * (torch.arange(label.shape[2]) < 8)
    assert torch.equal(found, expected)

    sure = MultiViewLabeler(Halved(), "mean", **settings, least_confidence=0.65)(
        torch.zeros(label.shape), label, (1.0, 1.0, 1.0), specialist=probabilities
    )
    inside, left = torch.from_numpy(label) > 0, torch.arange(label.shape[2]) < 8
    assert (sure[inside & left] == 255).all() and (sure[inside & ~left] == 0).all()
    assert (sure[~inside] == 0).all()


def test_agreement_counts_the_specialist():
    label = cuboids()
    probabilities = torch.stack([torch.full(label.shape, 0.4), torch.full(label.shape, 0.6)])
    labeler = MultiViewLabeler(BoxGeneralist(), "mean", abstain=True, widen_mm=(0, 0), specialist_views=1)
    found = labeler(torch.zeros(label.shape), label, (1.0, 1.0, 1.0), specialist=probabilities)
    assert torch.equal(found, torch.where(torch.from_numpy(label) > 0, 1, 255).to(torch.uint8))


def test_without_its_probabilities_the_specialist_cannot_count():
    label = cuboids()
    with pytest.raises(ValueError, match=r"specialist must be .* \(2, 14, 16, 18\).* got none"):
        MultiViewLabeler(BoxGeneralist(), specialist_views=1)(torch.zeros(label.shape), label, (1, 1, 1))
