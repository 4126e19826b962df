from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from common.pseudo_labels import view_agreement
from common.pseudo_labels.label_scans import agreed_share


def views(shape: tuple[int, int, int] = (9, 8, 7), number: int = 3, classes: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(number, classes, *shape, generator=generator)
    logits[:, 0] += 2
    logits[:, 1, 3:6, 3:5, 2:4] += 5
    return logits.softmax(dim=1)


@pytest.mark.parametrize("dilation", [0, 1, 3])
def test_equals_a_loop_over_voxels(dilation: int) -> None:
    given = views().double()
    found = view_agreement(given, dilation=dilation)
    probabilities = given.numpy()
    mean = probabilities.mean(axis=0)
    agreement, certainty = np.zeros(mean.shape[1:]), np.zeros(mean.shape[1:])
    foreground, region = np.zeros(mean.shape[1:], bool), np.zeros(mean.shape[1:], bool)
    for voxel in np.ndindex(*mean.shape[1:]):
        place = (slice(None), *voxel)
        distances = [0.5 * np.abs(view[place] - mean[place]).sum() for view in probabilities]
        agreement[voxel], certainty[voxel] = 1 - np.mean(distances), mean[place].max()
        foreground[voxel] = mean[place].argmax() > 0
    for voxel in np.argwhere(foreground):
        for step in itertools.product(range(-dilation, dilation + 1), repeat=3):
            near = voxel + step
            if (near >= 0).all() and (near < region.shape).all():
                region[tuple(near)] = True
    assert found.scan == pytest.approx(agreement[region].mean() * certainty[region].mean())
    np.testing.assert_allclose(found.voxels.numpy(), agreement * certainty)


def test_one_in_unison_and_sure_zero_without_foreground() -> None:
    sure = torch.zeros(2, 2, 6, 6, 6)
    sure[:, 0] = 1
    assert view_agreement(sure).scan == 0
    sure[:, :, 2:4] = sure[:, :, 2:4].flip(1)
    assert view_agreement(sure).scan == 1
    assert (view_agreement(sure).voxels == 1).all()


def test_views_that_contradict_each_other_lower_it() -> None:
    first = views(number=1)
    assert (
        view_agreement(torch.cat([first, first.roll(3, dims=2)])).scan < view_agreement(torch.cat([first, first])).scan
    )


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="views must be probabilities"):
        view_agreement(torch.rand(2, 1, 3, 3, 3))
    with pytest.raises(ValueError, match="dilation must not be negative, got -1"):
        view_agreement(views(), dilation=-1)


def test_how_far_the_views_of_a_refined_label_agree() -> None:
    label = torch.tensor([0, 0, 1, 2, 1, 255], dtype=torch.uint8)
    assert agreed_share(label) == 3 / 4
    assert agreed_share(torch.zeros(3, dtype=torch.uint8)) == 0
