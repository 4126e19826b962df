"""The companions of SFR's re-training, each against a plain loop or a value known beforehand."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from common.losses import (
    AnnotationTerm,
    ConsistencyLoss,
    ConsistencyTerm,
    CrossPseudoSupervisionTerm,
    Forward,
    InterpolationConsistencyTerm,
    OnlinePseudoLabelTerm,
    PartialCrossEntropyLoss,
    PartialDiceCELoss,
    Step,
    UncertaintyAwareConsistencyTerm,
)
from common.schedules import GaussianRampUp
from common.transforms import Perturb


def plainly(images, network):
    return network(images)


def network(seed, *, dropout=0.0):
    torch.manual_seed(seed)
    layers = [nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.Dropout3d(dropout), nn.Conv3d(4, 3, 1)]
    with torch.no_grad():
        layers[-1].weight *= 5  # so that some voxels are certain and some are not
    return nn.Sequential(*layers)


@pytest.fixture
def step():
    """Four scans, the first two labelled; student and teacher of other weights."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 4, 5, 6, generator=generator)
    annotation = torch.full((4, 1, 4, 5, 6), 255, dtype=torch.uint8)
    annotation[:2] = torch.randint(0, 3, (2, 1, 4, 5, 6), generator=generator).to(torch.uint8)
    student, teacher = network(1), network(2, dropout=0.5).eval()
    with torch.no_grad():
        seen = teacher(images + 0.1)
    return Step(
        batch={"image": images, "annotation": annotation},
        student=student(images),
        teacher=(seen,),
        iteration=3,
        network=Forward(student, plainly),
        teacher_network=Forward(teacher, torch.no_grad()(plainly)),
    )


def entropy(probabilities):
    return -(probabilities * probabilities.log()).sum(1, keepdim=True)


def unchanged(images, number):
    return images


def test_uncertainty_is_the_entropy_of_the_mean(step):
    perturb = Perturb(noise_std=0.5, contrast=(1, 1), seed=4)
    term = UncertaintyAwareConsistencyTerm(perturb, threshold=1.0, passes=3)
    images, teacher = step.batch["image"], step.teacher_network.module
    torch.manual_seed(7)
    found = term.uncertainty(step.teacher_network, images, 3)

    loop = copy.deepcopy(teacher)
    loop[3].train()
    torch.manual_seed(7)
    with torch.no_grad():
        passes = [loop(perturb(images, 2**32 + 9 + number)).softmax(1) for number in range(3)]
    torch.testing.assert_close(found, entropy(sum(passes) / 3), rtol=1e-4, atol=1e-5)
    assert not any(layer.training for layer in teacher.modules())


@pytest.mark.parametrize("threshold", [0.75, GaussianRampUp(1.0, 10, start=0.75), 1.0])
def test_without_noise_and_dropout_it_is_the_squared_distance_where_certain(threshold, step):
    step = replace(step, teacher_network=Forward(network(2).eval(), torch.no_grad()(plainly)))
    term = UncertaintyAwareConsistencyTerm(unchanged, threshold=threshold)
    share = threshold if isinstance(threshold, float) else 0.75 + 0.25 * math.exp(-5 * 0.7**2)
    certain = entropy(step.teacher_network(step.batch["image"]).softmax(1)) < share * math.log(3)
    assert 0 < certain.sum() <= certain.numel()
    squares = (step.student.softmax(1) - step.teacher[0].softmax(1)) ** 2
    expected = squares[certain.expand_as(squares)].mean()
    torch.testing.assert_close(term(step), expected)
    assert certain.all() == (threshold == 1.0)
    if threshold == 1.0:
        torch.testing.assert_close(term(step), ConsistencyTerm(ConsistencyLoss("mse"))(step))


def test_where_nothing_is_certain_nothing_is_learnt(step):
    loss = UncertaintyAwareConsistencyTerm(unchanged, threshold=0.0, passes=1)(step)
    loss.backward()
    assert loss == 0
    assert all(not weights.grad.any() for weights in step.network.module.parameters())


def test_cross_pseudo_supervision_equals_the_plain_formula(step):
    second = network(5)
    supervised = [AnnotationTerm(PartialCrossEntropyLoss(), key="annotation", weight=0.5)]
    term = CrossPseudoSupervisionTerm(second, supervised=supervised, cross_weight=GaussianRampUp(2.0, 3))
    found = term(step)
    found.backward()

    first, other = step.student.detach(), copy.deepcopy(second)(step.batch["image"]).detach()
    own = cross_entropy(other[:2], step.batch["annotation"][:2, 0].long())
    cross = cross_entropy(first, other.argmax(1)) + cross_entropy(other, first.argmax(1))
    torch.testing.assert_close(found, 0.5 * own + 2.0 * cross)
    for module in (step.network.module, second):
        assert any(weights.grad.any() for weights in module.parameters())


def test_cross_pseudo_supervision_is_symmetric(step):
    term = CrossPseudoSupervisionTerm(network(5), supervised=[], cross_weight=1.0)
    second = term.network(step.batch["image"])
    torch.testing.assert_close(term.cross(step.student, second), term.cross(second, step.student))


def test_an_image_mixed_with_nothing_is_plain_consistency(step, monkeypatch):
    term = InterpolationConsistencyTerm(batch_labelled=2)
    monkeypatch.setattr(term, "draw", lambda number, iteration: torch.ones(number))
    images = step.batch["image"][2:]
    expected = ConsistencyLoss("mse")(step.network(images), step.teacher_network(images))
    torch.testing.assert_close(term(step), expected)


def test_interpolation_equals_the_plain_loop(step):
    term = InterpolationConsistencyTerm(batch_labelled=1, alpha=0.7, seed=6)
    factors = np.random.default_rng([6, 3]).beta(0.7, 0.7, size=3)
    images = step.batch["image"][1:]
    targets = step.teacher_network(images).softmax(1)
    mixed, expected = [], []
    for index, factor in enumerate(factors.tolist()):
        following = (index + 1) % 3
        mixed.append(factor * images[index] + (1 - factor) * images[following])
        expected.append(factor * targets[index] + (1 - factor) * targets[following])
    found = term(step)
    predicted = step.network(torch.stack(mixed)).softmax(1)
    torch.testing.assert_close(found, ((predicted - torch.stack(expected)) ** 2).mean())
    torch.testing.assert_close(term.draw(3, 3), term.draw(3, 3))
    assert not torch.equal(term.draw(3, 3), term.draw(3, 4))


def test_online_labels_are_those_of_the_frozen_network(step):
    frozen = network(8, dropout=0.5)
    calls = []
    frozen.register_forward_hook(lambda *_: calls.append(1))
    term = OnlinePseudoLabelTerm(frozen, PartialDiceCELoss(), batch_labelled=2)
    found, again = term(step), term(replace(step, student=2 * step.student))
    assert len(calls) == 1 and not frozen.training
    assert not any(weights.requires_grad for weights in frozen.parameters())
    labels = frozen(step.batch["image"][2:]).argmax(1, keepdim=True).to(torch.uint8)
    torch.testing.assert_close(found, PartialDiceCELoss()(step.student[2:], labels))
    torch.testing.assert_close(again, PartialDiceCELoss()(2 * step.student[2:], labels))
    assert (term.labels(step)[:2] == 255).all()


def test_a_scan_of_weight_zero_does_not_matter(step):
    weights = torch.tensor([0.0, 0.3, 1.0, 1.0], dtype=torch.float64)
    term = AnnotationTerm(PartialDiceCELoss(), key="annotation", scan_weight="confidence")
    step = replace(step, batch={**step.batch, "confidence": weights})
    expected = PartialDiceCELoss()(step.student[1:2], step.batch["annotation"][1:2])
    torch.testing.assert_close(term(step), expected)

    equal = replace(step, batch={**step.batch, "confidence": torch.full((4,), 1.0)})
    plain = AnnotationTerm(PartialDiceCELoss(), key="annotation")
    torch.testing.assert_close(term(equal), plain(equal))


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (lambda: UncertaintyAwareConsistencyTerm(unchanged, threshold=1.0, passes=0), {}, "passes must be at least 1"),
        (
            lambda: UncertaintyAwareConsistencyTerm(unchanged, threshold=1.0),
            {"teacher_network": None},
            "teacher network",
        ),
        (
            lambda: UncertaintyAwareConsistencyTerm(unchanged, threshold=1.0),
            {"teacher": ()},
            "teacher in its step, got 0",
        ),
        (lambda: InterpolationConsistencyTerm(batch_labelled=2, alpha=0), {}, "alpha must be above 0"),
        (
            lambda: InterpolationConsistencyTerm(batch_labelled=3),
            {},
            "at least 2 unlabelled scans in a batch to mix, got 1",
        ),
        (
            lambda: InterpolationConsistencyTerm(batch_labelled=2),
            {"teacher_network": None},
            "needs the teacher network",
        ),
        (
            lambda: CrossPseudoSupervisionTerm(network(5), supervised=[], cross_weight=1.0),
            {"network": None},
            "needs the student network",
        ),
        (
            lambda: OnlinePseudoLabelTerm(
                lambda images: images[..., 1:].expand(-1, 3, -1, -1, -1), None, batch_labelled=2
            ),
            {},
            r"crop's size \(4, 5, 6\), got \(4, 5, 5\)",
        ),
        (
            lambda: AnnotationTerm(PartialDiceCELoss(), key="annotation", scan_weight="image"),
            {},
            "one weight for each of the batch's 4 scans",
        ),
    ],
)
def test_bad_input(make, changes, message, step):
    with pytest.raises(ValueError, match=message):
        make()(replace(step, **changes))
