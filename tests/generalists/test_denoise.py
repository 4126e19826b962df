"""Confident learning, compared with results worked out by hand and with loops over the voxels."""

import numpy as np
import pytest
import torch

from common.generalists import confident_learning_filter

METHODS = ["confident_joint", "prune_by_class", "prune_by_noise_rate", "both"]


def row(labels, foreground):
    """Voxels in a row: their labels, and the probabilities of two classes."""
    p = torch.tensor(foreground).reshape(-1, 1, 1)
    return torch.tensor(labels, dtype=torch.uint8).reshape(-1, 1, 1), torch.stack([1 - p, p])


def test_six_voxels_by_hand():
    # t_0 = (0.9 + 0.7 + 0.2) / 3 = 0.6, t_1 = (0.9 + 0.6 + 0.1) / 3 = 0.533
    # suggestions: 0, 0, 1 (0.8 >= t_1) | 1, 1 (0.6 >= t_1), 0 (0.9 >= t_0)
    label, probabilities = row([0, 0, 0, 1, 1, 1], [0.1, 0.3, 0.8, 0.9, 0.6, 0.1])
    found = confident_learning_filter(label, probabilities)
    assert found.dtype == torch.uint8
    assert found.flatten().tolist() == [0, 0, 255, 1, 1, 255]


def test_a_contradiction_below_the_threshold_is_kept():
    # t_0 = (0.99 + 0.99 + 0.98) / 3 = 0.987; the last voxel is background by 0.9 only
    label, probabilities = row([0, 0, 0, 1, 1], [0.01, 0.01, 0.02, 0.95, 0.1])
    assert torch.equal(confident_learning_filter(label, probabilities), label)


def test_pruning_by_hand():
    # the confident joint is [[2, 1], [1, 2]]: one voxel of each class is pruned
    label, probabilities = row([0, 0, 0, 1, 1, 1], [0.1, 0.3, 0.8, 0.9, 0.6, 0.1])
    for method in METHODS[1:]:
        found = confident_learning_filter(label, probabilities, method)
        assert found.flatten().tolist() == [0, 0, 255, 1, 1, 255]


def test_unlabelled_voxels_are_ignored():
    label, probabilities = row([0, 0, 0, 1, 1, 1, 255, 255], [0.1, 0.3, 0.8, 0.9, 0.6, 0.1, 0.99, 0.0])
    for method in METHODS:
        found = confident_learning_filter(label, probabilities, method)
        assert found.flatten().tolist() == [0, 0, 255, 1, 1, 255, 255, 255]


@pytest.mark.parametrize("method", METHODS)
def test_a_class_that_is_not_there_is_never_suggested(method):
    label, probabilities = row([0, 0, 0], [0.9, 0.8, 0.1])
    assert torch.equal(confident_learning_filter(label, probabilities, method), label)
    nothing = torch.full_like(label, 255)
    assert torch.equal(confident_learning_filter(nothing, probabilities, method), nothing)


def test_equal_probabilities_reach_their_own_mean():
    label, probabilities = row([0, 1] * 500, [0.1] * 1000)
    assert confident_learning_filter(label, probabilities).flatten()[:4].tolist() == [0, 255, 0, 255]


def by_loop(label, probabilities, method):
    """Confident learning as the paper describes it, voxel by voxel."""
    classes, voxels = probabilities.shape
    known = [v for v in range(voxels) if label[v] != 255]
    present = [j for j in range(classes) if (label == j).any()]
    threshold = {j: np.mean([probabilities[j, v] for v in known if label[v] == j]) for j in present}
    joint = np.zeros((classes, classes), int)
    suggestion = {}
    for v in known:
        confident = [j for j in present if probabilities[j, v] >= threshold[j]]
        if confident:
            suggestion[v] = max(confident, key=lambda j: probabilities[j, v])
            joint[label[v], suggestion[v]] += 1
    if method == "confident_joint":
        return {v for v, j in suggestion.items() if j != label[v]}
    by_class, by_rate = set(), set()
    for i in present:
        own = [v for v in known if label[v] == i]
        numbers = {j: int(joint[i, j] * len(own) // max(joint[i].sum(), 1)) for j in present if j != i}
        by_class.update(sorted(own, key=lambda v: probabilities[i, v])[: sum(numbers.values())])
        for j, number in numbers.items():
            by_rate.update(sorted(own, key=lambda v: probabilities[i, v] - probabilities[j, v])[:number])
    pruned = {"prune_by_class": by_class, "prune_by_noise_rate": by_rate, "both": by_class & by_rate}[method]
    return {v for v in pruned if probabilities[:, v].argmax() != label[v]}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (3, 1), (4, 2), (4, 3)])
def test_equals_a_loop_over_the_voxels(method, classes, seed):
    random = np.random.default_rng(seed)
    shape = (5, 6, 7)
    truth = random.integers(0, classes, shape)
    logits = 2.5 * np.eye(classes)[truth] + random.normal(size=(*shape, classes))
    probabilities = np.moveaxis(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), -1, 0)
    label = np.where(random.random(shape) < 0.2, random.integers(0, classes, shape), truth).astype(np.uint8)
    label[random.random(shape) < 0.1] = 255
    dropped = by_loop(label.ravel(), probabilities.reshape(classes, -1), method)
    assert dropped
    expected = label.ravel().copy()
    expected[list(dropped)] = 255
    given, before = torch.from_numpy(label), label.copy()
    found = confident_learning_filter(given, torch.from_numpy(probabilities), method)
    assert found.flatten().tolist() == expected.tolist()
    assert (label == before).all()


@pytest.mark.parametrize(
    ("label", "method", "message"),
    [
        (torch.zeros(3, 1, 2), "both", r"one grid, got shapes \(3, 1, 2\) and \(2, 3, 1, 1\)"),
        (torch.full((3, 1, 1), 2), "both", r"classes 0\.\.1 or 255, found 2"),
        (torch.zeros(3, 1, 1), "best", "method must be one of confident_joint, .*, got 'best'"),
    ],
)
def test_bad_input(label, method, message):
    with pytest.raises(ValueError, match=message):
        confident_learning_filter(label.to(torch.uint8), torch.full((2, 3, 1, 1), 0.5), method)
