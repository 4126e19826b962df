"""Dense labels from a few annotated slices."""

import numpy as np
import pytest
import torch

from common.annotations.cross_label import cross_label, middle_slices
from common.generalists import Propagation
from tests.generalists.stand_ins import ThresholdGeneralist


def ball(shape=(24, 26, 28), centre=(12, 13, 14), radius=8):
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    return (np.linalg.norm(grid - np.array(centre), axis=-1) < radius).astype(np.uint8)


def test_a_cross_labelled_ball_is_filled():
    label = ball()
    annotation = cross_label(label, middle_slices(label))
    found = Propagation(ThresholdGeneralist())(torch.from_numpy(label).float(), annotation, (1.0, 1.0, 1.0))
    assert found.dtype == torch.uint8
    assert 2 * ((found == 1).numpy() & (label == 1)).sum() / ((found == 1).sum() + label.sum()) > 0.97


def test_two_classes():
    label = ball() + 2 * ball(centre=(12, 13, 14), radius=4)
    label[label == 3] = 2
    image = torch.from_numpy(label).float()

    class Levels(ThresholdGeneralist):
        def segment(self, images, prompts, spacing):
            return super().segment(images, prompts, spacing) * (
                images[prompts.slice_index] == prompts.classes[:, None, None]
            )

    found = Propagation(Levels())(image, cross_label(label, middle_slices(label)), (1.0, 1.0, 1.0))
    assert (found.numpy() == label).mean() > 0.99


def test_annotated_voxels_are_kept():
    label = ball()
    annotation = cross_label(label, middle_slices(label))
    found = Propagation(ThresholdGeneralist())(torch.rand(label.shape), annotation, (1.0, 1.0, 1.0)).numpy()
    known = annotation != 255
    assert (found[known] == annotation[known]).all()


def test_implausible_masks_end_the_walk():
    class Everything:
        def segment(self, images, prompts, spacing):
            return torch.ones(len(prompts), *images.shape[1:])

    label = ball()
    annotation = cross_label(label, middle_slices(label))
    found = Propagation(Everything())(torch.zeros(label.shape), annotation, (1.0, 1.0, 1.0)).numpy()
    unknown = annotation == 255
    assert not (found[unknown] == 1).any() and (found[unknown] == 255).any()


def test_one_annotated_slice_is_enough():
    label = ball()
    found = Propagation(ThresholdGeneralist())(
        torch.from_numpy(label).float(), cross_label(label, {"axial": 14}), (1.0, 1.0, 1.0)
    ).numpy()
    settled = found != 255
    assert (found[settled] == label[settled]).all() and settled[:, :, 10:18].all()


def test_views_that_are_left_out_are_not_walked_in():
    class Watched(ThresholdGeneralist):
        def segment(self, images, prompts, spacing):
            seen.add((tuple(images.shape), spacing))
            return super().segment(images, prompts, spacing)

    label, seen = ball(), set()
    image = torch.from_numpy(label).float()
    Propagation(Watched(), views=("axial",))(image, cross_label(label, middle_slices(label)), (1.0, 1.0, 5.0))
    assert seen == {((28, 24, 26), (1.0, 1.0))}
    axial = cross_label(label, {"axial": 14})
    with pytest.raises(ValueError, match="fully annotated"):
        Propagation(ThresholdGeneralist(), views=("coronal",))(image, axial, (1.0, 1.0, 5.0))
    with pytest.raises(ValueError, match="views must be some of axial, coronal, sagittal, got none"):
        Propagation(ThresholdGeneralist(), views=())


def test_the_seed_decides():
    label = ball()
    annotation = cross_label(label, middle_slices(label))
    walk = Propagation(ThresholdGeneralist())
    image = torch.rand(label.shape)
    assert torch.equal(walk(image, annotation, (1, 1, 1), seed=4), walk(image, annotation, (1, 1, 1), seed=4))


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (np.full((4, 4, 4), 255, np.uint8), "at least one slice"),
        (np.zeros((4, 4, 5), np.uint8), "one grid"),
        (np.full((4, 4, 4), 2, np.uint8), r"classes 0\.\.1 \(or 255\), got 2 to 2"),
    ],
)
def test_bad_annotation(annotation, message):
    with pytest.raises(ValueError, match=message):
        Propagation(ThresholdGeneralist())(torch.zeros(4, 4, 4), annotation, (1, 1, 1), num_classes=2)


@pytest.mark.parametrize("settings", [{"least_overlap": 2}, {"greatest_change": 0.5}])
def test_bad_settings(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Propagation(ThresholdGeneralist(), **settings)
