"""Class prototypes and similarities, compared with loops over the voxels."""

import numpy as np
import pytest
import torch

from common.generalists import class_prototypes, prototype_similarity


def a_scan(classes=3, features=5, shape=(3, 4, 2), seed=0):
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(features, *shape, generator=generator)
    return found, torch.randn(classes, *shape, generator=generator).mul(2).softmax(dim=0)


def prototypes_by_loop(features, probabilities):
    sums = np.zeros((len(probabilities), len(features)))
    weights = np.zeros(len(probabilities))
    for voxel in np.ndindex(*features.shape[1:]):
        p = probabilities[(slice(None), *voxel)].numpy()
        index = p.argmax()
        sums[index] += p[index] * features[(slice(None), *voxel)].numpy()
        weights[index] += p[index]
    return np.array([s / w if w else s for s, w in zip(sums, weights, strict=True)])


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (3, 1), (4, 2)])
def test_prototypes_equal_a_loop_over_the_voxels(classes, seed):
    features, probabilities = a_scan(classes, seed=seed)
    found = class_prototypes(features, probabilities)
    np.testing.assert_allclose(found, prototypes_by_loop(features, probabilities), rtol=1e-5, atol=1e-6)


def test_prototypes_by_hand():
    features = torch.tensor([[1.0, 3.0, 10.0], [0.0, 4.0, 10.0]]).reshape(2, 3, 1, 1)
    probabilities = torch.tensor([[0.4, 0.2, 1.0], [0.6, 0.8, 0.0]]).reshape(2, 3, 1, 1)
    expected = [[10, 10], [(0.6 * 1 + 0.8 * 3) / 1.4, 0.8 * 4 / 1.4]]
    torch.testing.assert_close(class_prototypes(features, probabilities), torch.tensor(expected))


def test_a_class_without_voxels_has_zeros():
    features, _ = a_scan()
    probabilities = torch.tensor([0.5, 0.1, 0.4])[:, None, None, None].expand(3, *features.shape[1:])
    found = class_prototypes(features, probabilities)
    assert found[0].any() and not found[1:].any()
    assert not prototype_similarity(features, probabilities).any()


@pytest.mark.parametrize("contrast", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
def test_similarity_equals_a_loop_over_the_voxels(classes, contrast):
    features, probabilities = a_scan(classes)
    prototypes = prototypes_by_loop(features, probabilities)
    found = prototype_similarity(features, probabilities, contrast=contrast)
    assert found.shape == (classes - 1, *features.shape[1:])
    for voxel in np.ndindex(*features.shape[1:]):
        f = features[(slice(None), *voxel)].numpy()
        cosines = [p @ f / np.linalg.norm(p) / np.linalg.norm(f) for p in prototypes]
        for index in range(1, classes):
            others = max(cosine for other, cosine in enumerate(cosines) if other != index) if contrast else 0
            assert found[(index - 1, *voxel)].item() == pytest.approx(cosines[index] - others, abs=1e-5)


def test_contrast_ranks_as_the_softmax_of_two_classes_does():
    features, probabilities = a_scan(2)
    directions = torch.nn.functional.normalize(class_prototypes(features, probabilities), dim=1)
    cosine = directions @ torch.nn.functional.normalize(features.flatten(1), dim=0)
    softmax = (3 * cosine).softmax(dim=0)[1]
    found = prototype_similarity(features, probabilities, contrast=True).flatten()
    assert torch.equal(found.argsort(), softmax.argsort())


def test_similarity_stays_within_its_range():
    features = torch.full((7, 2, 2, 2), 1 / 3)
    probabilities = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 2, 2, 2)
    assert prototype_similarity(features, probabilities).max() <= 1
    features[:, 0, 0, 0] = 0
    assert prototype_similarity(features, probabilities)[0, 0, 0, 0] == 0


def test_half_precision_and_inputs_left_alone():
    features, probabilities = a_scan()
    before = features.clone(), probabilities.clone()
    found = prototype_similarity(features, probabilities)
    assert torch.equal(features, before[0]) and torch.equal(probabilities, before[1])
    half = prototype_similarity(features.bfloat16(), probabilities)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, found, atol=0.02, rtol=0)


@pytest.mark.parametrize("shape", [(2, 3, 4, 3), (3, 4, 2)])
def test_bad_shapes(shape):
    with pytest.raises(ValueError, match=r"one grid, got shapes \(5, 3, 4, 2\)"):
        class_prototypes(torch.zeros(5, 3, 4, 2), torch.zeros(shape))
