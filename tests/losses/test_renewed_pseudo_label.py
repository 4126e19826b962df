"""Pseudo-labels of this iteration's teacher, against a loop over voxels."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from common.losses import AnnotationTerm, Forward, PartialDiceCELoss, RenewedPseudoLabelTerm, Step


def plainly(images, network):
    return network(images)


@pytest.fixture
def step():
    """Four crops of 3 classes, the last two pseudo-labelled; what the teacher sees is not what the student saw."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(1)
    student, teacher = nn.Conv3d(1, 3, 3, padding=1), nn.Conv3d(1, 3, 3, padding=1)
    with torch.no_grad():
        teacher.weight *= 5  # so that some voxels are certain and some are not
    image = torch.randn(4, 1, 4, 5, 6, generator=generator)
    pseudo_label = torch.full((4, 1, 4, 5, 6), 255, dtype=torch.uint8)
    pseudo_label[2, 0, 1, 2, 3], pseudo_label[3] = 0, 1
    return Step(
        batch={"image": image, "plain_image": image + 0.5, "pseudo_label": pseudo_label},
        student=student(image),
        teacher=None,
        iteration=7,
        network=Forward(student, plainly),
        teacher_network=Forward(teacher, torch.no_grad()(plainly)),
    )


@pytest.mark.parametrize("threshold", [0.0, 0.6, 0.9])
def test_labels_are_those_of_the_teacher_on_the_plain_crop(step, threshold):
    labels = RenewedPseudoLabelTerm(PartialDiceCELoss(), threshold=threshold, image="plain_image").labels(step)
    assert labels.dtype == torch.uint8 and labels.shape == (4, 1, 4, 5, 6)
    assert (labels[:2] == 255).all()
    for crop in (2, 3):
        logits = step.teacher_network.module(step.batch["plain_image"][crop : crop + 1])[0]
        for place in torch.cartesian_prod(torch.arange(4), torch.arange(5), torch.arange(6)).tolist():
            chances = logits[(slice(None), *place)].double().exp()
            chances = (chances / chances.sum()).tolist()
            expected = chances.index(max(chances)) if max(chances) >= threshold else 255
            assert labels[(crop, 0, *place)] == expected
    ignored = (labels[2:] == 255).float().mean().item()
    assert ignored == 0 if threshold == 0 else 0 < ignored < 1


def test_it_is_the_loss_with_these_labels(step):
    renewed = RenewedPseudoLabelTerm(PartialDiceCELoss(), image="plain_image")
    batch = {**step.batch, "pseudo_label": renewed.labels(step)}
    kept = AnnotationTerm(PartialDiceCELoss(), key="pseudo_label")(replace(step, batch=batch))
    found = renewed(step)
    assert found.item() == pytest.approx(kept.item())
    ours, theirs = (
        torch.autograd.grad(loss, step.network.module.weight, retain_graph=True)[0] for loss in (found, kept)
    )
    torch.testing.assert_close(ours, theirs)
    assert step.teacher_network.module.weight.grad is None


def test_without_trusted_scans_nothing_is_asked_and_nothing_learnt(step):
    def refuse(images, network):
        raise AssertionError("the teacher was asked")

    none = torch.full_like(step.batch["pseudo_label"], 255)
    idle = replace(step, batch={**step.batch, "pseudo_label": none}, teacher_network=Forward(nn.Identity(), refuse))
    loss = RenewedPseudoLabelTerm(PartialDiceCELoss())(idle)
    assert loss.item() == 0
    assert (torch.autograd.grad(loss, step.network.module.weight)[0] == 0).all()


def test_bad_input(step):
    with pytest.raises(ValueError, match=r"threshold must lie in 0\.\.1, got 1\.2"):
        RenewedPseudoLabelTerm(PartialDiceCELoss(), threshold=1.2)
    with pytest.raises(ValueError, match="needs a teacher"):
        RenewedPseudoLabelTerm(PartialDiceCELoss())(replace(step, teacher_network=None))
