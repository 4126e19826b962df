"""Losses of scans of which some classes only were annotated, after the marginal loss of Shi et al., 2021."""

import math
from types import SimpleNamespace

import pytest
import torch

from common.losses import (
    AnnotationTerm,
    NoiseTolerantDiceLoss,
    PartialCrossEntropyLoss,
    PartialDiceCELoss,
    PartialDiceLoss,
    merge_unannotated,
)

LOSSES = {
    "noise_tolerant_dice": NoiseTolerantDiceLoss(),
    "noise_tolerant_dice_absent": NoiseTolerantDiceLoss(include_absent=True),
    "cross_entropy": PartialCrossEntropyLoss(),
    "cross_entropy_per_scan": PartialCrossEntropyLoss(per_scan=True),
    "dice": PartialDiceLoss(),
    "dice_foreground": PartialDiceLoss(include_background=False),
    "dice_ce": PartialDiceCELoss(),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def scan(probabilities, target):
    """Logits ``[1, C, 1, 1, n]`` of the probabilities of each voxel, and a target ``[1, 1, 1, 1, n]``."""
    p = torch.tensor(probabilities, dtype=torch.float64).T
    return p.log().reshape(1, len(p), 1, 1, -1), torch.tensor(target, dtype=torch.uint8).reshape(1, 1, 1, 1, -1)


VOXELS = [[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.2, 0.1, 0.7]]
"""Probabilities of background, class 1 and class 2."""

FIRST_ONLY = torch.tensor([[1, 1, 0]], dtype=torch.uint8)

# Class 2 was not annotated: the background's probabilities are 0.5 + 0.2, 0.1 + 0.3 and 0.2 + 0.7.
TABLE = [
    (PartialCrossEntropyLoss(), -(math.log(0.7) + math.log(0.6) + math.log(0.9)) / 3),
    # background: 1 - 2 (0.7 + 0.9) / (0.49 + 0.16 + 0.81 + 2); class 1: 1 - 2 · 0.6 / (0.09 + 0.36 + 0.01 + 1)
    (PartialDiceLoss(), ((1 - 3.2 / 3.46) + (1 - 1.2 / 1.46)) / 2),
    (PartialDiceLoss(include_background=False), 1 - 1.2 / 1.46),
    # background: (0.3² + 0.4² + 0.1²) / 3.46; class 1: (0.3² + 0.4² + 0.1²) / 1.46
    (NoiseTolerantDiceLoss(gamma=2), (0.26 / 3.46 + 0.26 / 1.46) / 2),
    (NoiseTolerantDiceLoss(gamma=2, include_absent=True), (0.26 / 3.46 + 0.26 / 1.46) / 2),
]


@pytest.mark.parametrize(("loss", "expected"), TABLE)
def test_hand_worked(loss, expected):
    assert loss(*scan(VOXELS, [0, 1, 0]), classes=FIRST_ONLY).item() == pytest.approx(expected, abs=2e-5)


def test_mixed_batch_by_hand():
    """One scan with both classes, one without class 2: its background may be class 2, where it is right to say so."""
    (first, labels), (second, others) = scan(VOXELS[:1], [2]), scan(VOXELS[2:], [0])
    logits, target = torch.cat([first, second]), torch.cat([labels, others])
    classes = torch.tensor([[1, 1, 1], [1, 1, 0]])
    expected = -(math.log(0.2) + math.log(0.2 + 0.7)) / 2
    assert PartialCrossEntropyLoss()(logits, target, classes=classes).item() == pytest.approx(expected)
    # background: 2 · 0.9 / (0.25 + 0.81 + 1), class 1: 0 / (0.09 + 0.01), class 2: 2 · 0.2 / (0.04 + 1)
    dice = (1.8 / 2.06 + 0 + 0.4 / 1.04) / 3
    assert PartialDiceLoss()(logits, target, classes=classes).item() == pytest.approx(1 - dice, abs=1e-4)


def test_by_hand_beside_a_scan_without_annotation():
    """A scan of which nothing is annotated, as those of the second stream, says nothing of its classes either."""
    (first, labels), (second, nothing) = scan(VOXELS, [0, 1, 0]), scan(VOXELS, [255, 255, 255])
    classes = torch.tensor([[1, 1, 0], [1, 1, 1]])
    for loss, expected in TABLE:
        found = loss(torch.cat([first, second]), torch.cat([labels, nothing]), classes=classes)
        assert found.item() == pytest.approx(expected, abs=2e-5)


@every_loss
@pytest.mark.parametrize("per_voxel", [False, True])
def test_all_classes_annotated_is_the_same_loss_bit_for_bit(loss, batch, per_voxel):
    logits, target = batch
    classes = torch.ones(logits.shape if per_voxel else logits.shape[:2])
    for given in (logits, logits.float(), 1e3 * logits):
        first, second = given.clone().requires_grad_(), given.clone().requires_grad_()
        plain, merged = loss(first, target), loss(second, target, classes=classes)
        assert torch.equal(plain, merged)
        plain.backward()
        merged.backward()
        assert torch.equal(first.grad, second.grad)


@every_loss
def test_is_the_loss_of_a_network_that_knows_the_annotated_classes_alone(loss, batch):
    """Of three classes, 1 and 3 were not annotated: their probabilities are the background's."""
    logits, target = batch
    target = torch.where((target == 1) | (target == 3), 0, target)
    p = logits.softmax(dim=1)
    narrow = torch.stack([p[:, [0, 1, 3]].sum(dim=1), p[:, 2]], dim=1).log()
    expected = loss(narrow, torch.where(target == 2, 1, target))
    found = loss(logits, target, classes=torch.tensor([[1, 0, 1, 0]] * 2))
    torch.testing.assert_close(found, expected)


@every_loss
def test_class_sets_of_scans_and_of_their_voxels_are_the_same(loss, batch):
    logits, target = batch
    classes = torch.tensor([[1, 1, 0, 1], [1, 0, 1, 1]])
    target = torch.where(classes[[0, 1]].gather(1, torch.where(target == 255, 0, target).flatten(1).long())
                         .reshape(target.shape).bool(), target, 0)  # fmt: skip
    voxels = classes[..., None, None, None].expand_as(logits)
    torch.testing.assert_close(loss(logits, target, classes=classes), loss(logits, target, classes=voxels))


def test_cross_entropy_of_a_batch_is_that_of_its_scans_one_by_one(batch):
    logits, target = batch
    classes = torch.tensor([[1, 1, 0, 1], [1, 0, 1, 1]])
    target = torch.where((target == 2) | (target == 1), 0, target)
    loss = PartialCrossEntropyLoss(per_scan=True)
    single = [loss(logits[[n]], target[[n]], classes=classes[[n]]) for n in range(2)]
    torch.testing.assert_close(loss(logits, target, classes=classes), sum(single) / 2)
    merged = torch.cat([merge_unannotated(logits[[n]], classes[[n]]) for n in range(2)])
    assert torch.equal(merge_unannotated(logits, classes), merged)


@every_loss
def test_gradients_do_not_tell_background_from_what_was_not_annotated(loss):
    """With equal scores, the background and the class that nobody looked for are pushed alike, and both upwards."""
    logits = torch.zeros(1, 3, 1, 1, 4, requires_grad=True)
    loss(logits, torch.tensor([0, 0, 0, 1]).reshape(1, 1, 1, 1, 4), classes=FIRST_ONLY).backward()
    background, first, second = logits.grad[0, :, 0, 0, 0]
    assert background == second < 0 < first


@every_loss
def test_gradcheck(loss, batch):
    logits, target = batch
    target = torch.where(target == 2, 0, target)
    classes = torch.tensor([[1, 1, 0, 1], [1, 1, 0, 1]])
    assert torch.autograd.gradcheck(lambda given: loss(given, target, classes=classes), logits.requires_grad_())


@every_loss
def test_nothing_annotated_gives_zero_with_gradients(loss):
    logits = torch.randn(2, 3, 4, 4, 4, requires_grad=True)
    target = torch.full((2, 1, 4, 4, 4), 255, dtype=torch.uint8)
    value = loss(logits, target, classes=torch.tensor([[1, 1, 0]] * 2))
    value.backward()
    assert value.item() == 0
    assert (logits.grad == 0).all()


def test_a_term_hands_the_classes_of_its_own_annotations_on(batch):
    logits, target = batch
    classes = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    target = torch.where(target == 3, 0, target)
    given = {"annotation": target, "pseudo_label": target, "annotation_classes": classes}
    step = SimpleNamespace(student=logits, batch=given)
    loss = PartialDiceCELoss()
    assert torch.equal(AnnotationTerm(loss, key="annotation")(step), loss(logits, target, classes=classes))
    assert torch.equal(AnnotationTerm(loss, key="pseudo_label")(step), loss(logits, target))


def test_bad_shapes(batch):
    logits, _ = batch
    for shape in ((2, 3), (1, 4), (2, 4, 3, 2, 1), (2, 4, 1, 1, 1)):
        with pytest.raises(ValueError, match=r"classes must be of shape \(2, 4\) or \(2, 4, 3, 2, 4\)"):
            merge_unannotated(logits, torch.ones(shape))
