"""The engine's step against the plain loop it stands for."""

import copy

import pytest
import torch
from ignite.engine import Events
from monai.data import MetaTensor
from torch import nn

from common.engines import SemiSupervisedTrainer, mean_teacher
from common.losses import AnnotationTerm, ConsistencyLoss, ConsistencyTerm, PartialCrossEntropyLoss
from common.schedules import GaussianRampUp


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.Conv3d(4, 3, 1))


def batches(number):
    generator = torch.Generator().manual_seed(1)
    for _ in range(number):
        annotation = torch.randint(0, 3, (2, 1, 4, 5, 6), generator=generator).to(torch.uint8)
        annotation[torch.rand(annotation.shape, generator=generator) < 0.5] = 255
        yield {"image": torch.randn(2, 1, 4, 5, 6, generator=generator), "annotation": annotation}


def halve(images, iteration):
    return images / 2


def add_one(images, iteration):
    return images + 1 + iteration


def turned(batch, iteration):
    turns = {key: entry.roll(iteration, dims=4) for key, entry in batch.items()}
    return {"image": turns["image"] * 2, "annotation": turns["annotation"]}


def terms(length):
    return [
        AnnotationTerm(PartialCrossEntropyLoss(), key="annotation"),
        ConsistencyTerm(ConsistencyLoss("mae"), weight=GaussianRampUp(0.5, length)),
    ]


def test_equals_the_plain_loop():
    number = 5
    student = small_network()
    plain, plain_teacher = copy.deepcopy(student), copy.deepcopy(student)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1, momentum=0.9)
    teacher = mean_teacher(student, alpha=0.99)
    losses = []
    trainer = SemiSupervisedTrainer(
        device="cpu",
        max_iterations=number,
        train_data_loader=batches(number),
        network=student,
        optimizer=optimizer,
        terms=terms(number),
        teacher=teacher,
        perturb=[add_one, halve],
        teacher_warm_up=2,
        mix=turned,
        handlers=[Recorder(losses)],
    )
    trainer.run()

    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    expected = []
    ramp = GaussianRampUp(0.5, number)
    for iteration, batch in enumerate(batches(number)):
        batch = {key: torch.cat([it[..., 6 - iteration :], it[..., : 6 - iteration]], 4) for key, it in batch.items()}
        batch["image"] = batch["image"] + batch["image"]
        plain.train()
        plain_teacher.eval()
        logits = plain(batch["image"])
        with torch.no_grad():
            seen = (batch["image"] + 1 + iteration, batch["image"] / 2)
            targets = [plain_teacher(images).softmax(1) for images in seen]
        annotation = batch["annotation"][:, 0].long()
        cross = nn.functional.cross_entropy(logits, annotation, ignore_index=255)
        consistency = sum((logits.softmax(1) - target).abs().mean() for target in targets) / 2
        loss = cross + ramp(iteration) * consistency
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        share = max(0.01, min(1.0, 2 / (iteration + 1)))
        with torch.no_grad():
            for mean, new in zip(plain_teacher.parameters(), plain.parameters(), strict=True):
                mean.copy_((1 - share) * mean + share * new)
            for mean, new in zip(plain_teacher.buffers(), plain.buffers(), strict=True):
                mean.copy_((1 - share) * mean + share * new if mean.is_floating_point() else new)
        expected.append((loss.item(), cross.item(), consistency.item()))

    for found, (loss, cross, consistency) in zip(losses, expected, strict=True):
        assert found == pytest.approx({"loss": loss, "annotation": cross, "consistency": consistency}, rel=1e-4)
    for network, reference in ((student, plain), (teacher.ema_model, plain_teacher)):
        for name, tensor in reference.state_dict().items():
            torch.testing.assert_close(network.state_dict()[name], tensor, rtol=1e-3, atol=1e-5)


class Recorder:
    """Keeps every iteration's output."""

    def __init__(self, outputs):
        self.outputs = outputs

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: self.outputs.append(e.state.output[0]))


def trainer_with(**changes):
    network = small_network()
    arguments = {
        "device": "cpu",
        "max_iterations": 2,
        "train_data_loader": batches(2),
        "network": network,
        "optimizer": torch.optim.SGD(network.parameters(), lr=0.1),
        "terms": [AnnotationTerm(PartialCrossEntropyLoss(), key="annotation")],
    }
    return SemiSupervisedTrainer(**(arguments | changes))


def test_stops_at_max_iterations_within_an_epoch():
    trainer = trainer_with(train_data_loader=batches(9), max_iterations=5, epoch_length=3)
    trainer.run()
    assert trainer.state.iteration == 5


def test_without_annotated_voxels_nothing_moves_but_the_run_continues():
    nothing = [{"image": torch.randn(1, 1, 4, 4, 4), "annotation": torch.full((1, 1, 4, 4, 4), 255)}] * 2
    trainer = trainer_with(train_data_loader=nothing)
    before = copy.deepcopy([*trainer.network.parameters()])
    trainer.run()
    assert trainer.state.output[0]["loss"] == 0
    for old, new in zip(before, trainer.network.parameters(), strict=True):
        torch.testing.assert_close(old, new)


def test_the_network_is_spared_the_metadata():
    seen = []
    network = small_network()
    network.register_forward_pre_hook(lambda module, inputs: seen.append(type(inputs[0])))
    with_metadata = [{key: MetaTensor(entry) for key, entry in batch.items()} for batch in batches(2)]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    trainer_with(train_data_loader=with_metadata, network=network, optimizer=optimizer).run()
    assert seen == [torch.Tensor] * 2


def test_bf16_learns_as_float32_does():
    found = {}
    for precision in ("fp32", "bf16"):
        losses = []
        trainer_with(
            train_data_loader=batches(20), max_iterations=20, precision=precision, handlers=[Recorder(losses)]
        ).run()
        found[precision] = losses[-1]["loss"]
    assert found["bf16"] == pytest.approx(found["fp32"], rel=0.02)


def test_a_loss_that_is_not_finite_ends_the_training():
    broken = [{**batch, "image": batch["image"] * torch.nan, "scan": ["a", "b"]} for batch in batches(2)]
    message = r"expected a finite loss, found .*'loss': nan.* in iteration 1, with the scans a, b;"
    with pytest.raises(FloatingPointError, match=message):
        trainer_with(train_data_loader=broken).run()


@pytest.mark.parametrize("alpha", [0, 1, 1.5])
def test_a_teacher_needs_a_share_to_keep(alpha):
    with pytest.raises(ValueError, match=f"alpha must lie between 0 and 1, got {alpha}"):
        mean_teacher(small_network(), alpha)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"terms": []}, "at least one"),
        ({"terms": [AnnotationTerm(PartialCrossEntropyLoss(), key="annotation")] * 2}, "each with a name of its own"),
        ({"terms": [ConsistencyTerm(ConsistencyLoss("mae"))]}, "need a teacher"),
        ({"max_iterations": 0}, "max_iterations must be at least 1"),
        ({"precision": "fp8"}, "fp32, bf16, fp16"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        trainer_with(**changes)
