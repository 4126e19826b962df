"""The losses over annotated voxels: hand-worked answers, plain loops, and what they have in common."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceLoss

from common.losses import NoiseTolerantDiceLoss, PartialCrossEntropyLoss, PartialDiceCELoss, PartialDiceLoss

LOSSES = {
    "noise_tolerant_dice": NoiseTolerantDiceLoss(),
    "noise_tolerant_dice_absent": NoiseTolerantDiceLoss(include_absent=True),
    "noise_tolerant_dice_foreground": NoiseTolerantDiceLoss(include_background=False),
    "cross_entropy": PartialCrossEntropyLoss(),
    "dice": PartialDiceLoss(),
    "dice_ce": PartialDiceCELoss(),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())

# loss, foreground probability a voxel, target, answer
TABLE = [
    # class 1: (0.2^1.5 + 0.4^1.5) / (0.64 + 0.16 + 1); class 0: the same / (0.04 + 0.36 + 1)
    (NoiseTolerantDiceLoss(), [0.8, 0.4], [1, 0], (0.1902361 + 0.2445892) / 2),
    (NoiseTolerantDiceLoss(include_background=False), [0.8, 0.4], [1, 0], 0.1902361),
    (NoiseTolerantDiceLoss(gamma=1), [0.8, 0.4], [1, 0], (0.6 / 1.8 + 0.6 / 1.4) / 2),
    (NoiseTolerantDiceLoss(gamma=2), [0.8, 0.4], [1, 0], (0.2 / 1.8 + 0.2 / 1.4) / 2),
    (NoiseTolerantDiceLoss(gamma=2, epsilon=0.2), [0.8, 0.4], [1, 0], (0.2 / 2.0 + 0.2 / 1.6) / 2),
    (NoiseTolerantDiceLoss(gamma=2), [0.8, 0.4, 0.9], [1, 0, 255], (0.2 / 1.8 + 0.2 / 1.4) / 2),
    # no foreground in the target: the background alone, or (0.5 / 0.5) for the absent class beside it
    (NoiseTolerantDiceLoss(gamma=2), [0.5, 0.5], [0, 0], 0.5 / 2.5),
    (NoiseTolerantDiceLoss(gamma=2, include_absent=True), [0.5, 0.5], [0, 0], (0.5 / 2.5 + 1) / 2),
    (PartialCrossEntropyLoss(), [0.8, 0.4], [1, 0], -(math.log(0.8) + math.log(0.6)) / 2),
    (PartialCrossEntropyLoss(), [0.8, 0.4, 0.1], [1, 255, 255], -math.log(0.8)),
    (PartialCrossEntropyLoss(ignore_index=9), [0.8, 0.4], [9, 0], -math.log(0.6)),
    # 1 - 2·0.8 / 1.8 and 1 - 2·0.6 / 1.4
    (PartialDiceLoss(), [0.8, 0.4], [1, 0], (1 / 9 + 1 / 7) / 2),
    (PartialDiceLoss(include_background=False), [0.8, 0.4], [1, 0], 1 / 9),
    (PartialDiceLoss(), [0.8, 0.7, 0.4], [1, 255, 0], (1 / 9 + 1 / 7) / 2),
    (PartialDiceCELoss(0.25, 2.0), [0.8, 0.4], [1, 0], 0.25 * (1 / 9 + 1 / 7) / 2 + 2 * 0.3669846),
]


@pytest.mark.parametrize(("loss", "foreground", "target", "expected"), TABLE)
def test_hand_worked(from_probabilities, loss, foreground, target, expected):
    assert loss(*from_probabilities(foreground, target)).item() == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("gamma", [1.0, 1.5, 2.0])
def test_noise_tolerant_dice_equals_a_plain_loop(batch, gamma):
    logits, target = batch
    probabilities = logits.softmax(1)
    ratios = []
    for index in range(4):
        above = below = 0.0
        for scan, *voxel in (target != 255).nonzero()[:, [0, 2, 3, 4]].tolist():
            p = probabilities[scan, index][tuple(voxel)].item()
            y = float(target[scan, 0][tuple(voxel)] == index)
            above += abs(p - y) ** gamma
            below += p**2 + y**2
        ratios.append(above / (below + 1e-5))
    assert NoiseTolerantDiceLoss(gamma)(logits, target).item() == pytest.approx(sum(ratios) / 4)


def test_noise_tolerant_dice_with_gamma_2_is_the_dice_loss(batch):
    torch.testing.assert_close(NoiseTolerantDiceLoss(gamma=2)(*batch), PartialDiceLoss()(*batch), atol=1e-5, rtol=0)


@pytest.mark.parametrize("include_background", [True, False])
def test_dice_equals_monai(batch, include_background):
    settings = {"to_onehot_y": True, "softmax": True, "squared_pred": True, "batch": True, "ignore_index": 255}
    monai = DiceLoss(include_background=include_background, **settings)
    ours = PartialDiceLoss(include_background=include_background)
    logits, target = batch
    torch.testing.assert_close(ours(logits, target), monai(logits, target.long()))
    found = torch.autograd.grad(ours(logits.requires_grad_(), target), logits)
    torch.testing.assert_close(found, torch.autograd.grad(monai(logits, target.long()), logits))


def test_cross_entropy_equals_torch(batch):
    logits, target = batch
    expected = torch.nn.functional.cross_entropy(logits, target[:, 0].long(), ignore_index=255)
    torch.testing.assert_close(PartialCrossEntropyLoss()(logits, target), expected)


def test_an_absent_class_is_not_pulled_into_the_prediction(from_probabilities):
    logits, target = from_probabilities([0.05] * 50, [0] * 50)
    logits.requires_grad_()
    NoiseTolerantDiceLoss()(logits, target).backward()
    assert (logits.grad[:, 1] > 0).all()


@every_loss
def test_perfect_prediction_costs_nothing(loss):
    target = torch.tensor([0, 1, 2, 255], dtype=torch.uint8).reshape(1, 1, 1, 2, 2)
    logits = torch.full((1, 3, 1, 2, 2), -50.0).scatter_(1, torch.where(target == 255, 1, target).long(), 50.0)
    assert loss(logits, target).item() == pytest.approx(0, abs=1e-5)


@every_loss
def test_ignored_voxels_have_no_say(loss, batch):
    logits, target = batch
    changed = torch.where(target == 255, -3 * logits + 1, logits).requires_grad_()
    value = loss(changed, target)
    torch.testing.assert_close(value, loss(logits, target))
    value.backward()
    assert (changed.grad[(target == 255).expand_as(changed)] == 0).all()


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_annotated_gives_zero_with_gradients(loss, dtype):
    logits = torch.randn(2, 3, 4, 4, 4, dtype=dtype, requires_grad=True)
    value = loss(logits, torch.full((2, 1, 4, 4, 4), 255, dtype=torch.uint8))
    value.backward()
    assert value.item() == 0
    assert (logits.grad == 0).all()


@every_loss
def test_gradcheck(loss, batch):
    logits, target = batch
    assert torch.autograd.gradcheck(loss, (logits.requires_grad_(), target))


@every_loss
@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_gradients_are_finite_where_prediction_and_target_agree_exactly(loss, scale, batch):
    logits, target = batch
    logits = (scale * logits).float().requires_grad_()
    loss(logits, target).backward()
    assert logits.grad.isfinite().all()


@every_loss
def test_bf16_computes_in_float32(loss, batch):
    logits, target = batch
    half = logits.bfloat16()
    value = loss(half, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(half.float(), target))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(loss(half.float(), target), value)


@every_loss
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.int32])
def test_target_may_lack_the_channel_and_be_any_integer(loss, dtype, batch):
    logits, target = batch
    torch.testing.assert_close(loss(logits, target[:, 0].to(dtype)), loss(logits, target))


@every_loss
def test_weights_of_one_change_nothing_and_zero_means_not_annotated(loss, batch):
    logits, target = batch
    weight = torch.ones(2, 1, 1, 1, 1)
    torch.testing.assert_close(loss(logits, target, weight), loss(logits, target))
    weight[1] = 0
    torch.testing.assert_close(loss(logits, target, weight), loss(logits[:1], target[:1]))
    assert loss(logits, target, torch.zeros(())).item() == 0


@every_loss
def test_a_weight_of_two_is_a_voxel_seen_twice(loss, batch):
    logits, target = batch
    weight = torch.ones(target.shape)
    weight[1] = 2
    twice = torch.cat([logits, logits[1:]]), torch.cat([target, target[1:]])
    torch.testing.assert_close(loss(logits, target, weight), loss(*twice))


@every_loss
@pytest.mark.parametrize("shape", [(6,), (1, 5, 6), (1, 4, 4, 4)])
def test_works_in_any_number_of_dimensions(loss, shape):
    logits = torch.randn(2, 3, *shape)
    target = torch.randint(0, 3, (2, 1, *shape)).to(torch.uint8)
    assert loss(logits, target).isfinite()


@every_loss
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_loss_is_never_negative_and_falls_along_its_gradient(from_probabilities, loss, data):
    foreground = data.draw(st.lists(st.floats(0.05, 0.95), min_size=2, max_size=6))
    target = data.draw(st.lists(st.sampled_from([0, 1, 255]), min_size=len(foreground), max_size=len(foreground)))
    logits, annotation = from_probabilities(foreground, target)
    value = loss(logits.requires_grad_(), annotation)
    assert value.item() >= 0
    value.backward()
    assert loss(logits.detach() - 1e-3 * logits.grad, annotation) <= value + 1e-9


@every_loss
@pytest.mark.parametrize(
    ("logits", "target", "weight", "message"),
    [
        (torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), None, "at least 2 classes"),
        (torch.zeros(1, 2, 2, 2).long(), torch.zeros(1, 1, 2, 2), None, "floating point"),
        (torch.zeros(1, 2, 2, 2), torch.zeros(1, 1, 2, 3), None, r"target must be of shape \(1, 1, 2, 2\)"),
        (torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2), None, "target must be of shape"),
        (torch.zeros(1, 2, 2, 2), torch.zeros(1, 1, 2, 2), torch.ones(3), "weight must be broadcastable"),
    ],
)
def test_shapes_that_do_not_fit(loss, logits, target, weight, message):
    with pytest.raises(ValueError, match=message):
        loss(logits, target, weight)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoiseTolerantDiceLoss(gamma=0.9), r"gamma must lie in 1\.\.2"),
        (lambda: NoiseTolerantDiceLoss(gamma=2.1), r"gamma must lie in 1\.\.2"),
        (lambda: NoiseTolerantDiceLoss(epsilon=0), "epsilon must be above 0"),
        (lambda: PartialDiceLoss(epsilon=-1), "epsilon must be above 0"),
        (lambda: PartialDiceCELoss(dice_weight=-1), "must not be negative"),
    ],
)
def test_arguments_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_cross_entropy_per_scan_by_hand():
    """Three voxels of one scan, one of another and none of a third: the mean of two means, not of four voxels."""
    foreground = torch.tensor([[0.8, 0.4, 0.5], [0.9, 0.5, 0.5], [0.3, 0.5, 0.5]])
    logits = torch.stack([1 - foreground, foreground], dim=1).log()[:, :, :, None, None]
    target = torch.tensor([[1, 0, 1], [1, 255, 255], [255, 255, 255]])[:, None, :, None, None].to(torch.uint8)
    first = -(math.log(0.8) + math.log(0.6) + math.log(0.5)) / 3
    second = -math.log(0.9)
    assert PartialCrossEntropyLoss(per_scan=True)(logits, target).item() == pytest.approx((first + second) / 2)
    assert PartialCrossEntropyLoss()(logits, target).item() == pytest.approx((3 * first + second) / 4)
    nothing = torch.full_like(target, 255)
    assert PartialCrossEntropyLoss(per_scan=True)(logits, nothing).item() == 0


def test_a_class_that_is_absent_counts_as_the_formula_says():
    """No foreground in the target: ΣP^1.5 / (ΣP² + ε) for the foreground, by hand."""
    logits = torch.tensor([0.75, 0.25]).log().reshape(1, 2, 1, 1, 1)
    target = torch.zeros(1, 1, 1, 1, 1, dtype=torch.uint8)
    background = 0.25**1.5 / (0.75**2 + 1 + 1e-5)
    foreground = 0.25**1.5 / (0.25**2 + 1e-5)
    found = NoiseTolerantDiceLoss(include_absent=True)(logits, target).item()
    assert found == pytest.approx((background + foreground) / 2, rel=1e-5)
