import pytest
import torch

from common.losses import ConsistencyLoss


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mae", (0.2 + 0.1) / 2),  # both classes of a voxel differ by the same
        ("mse", (0.04 + 0.01) / 2),
    ],
)
def test_hand_worked(from_probabilities, kind, expected):
    student, _ = from_probabilities([0.8, 0.4], [0, 0])
    teacher, _ = from_probabilities([0.6, 0.5], [0, 0])
    assert ConsistencyLoss(kind)(student, teacher).item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["mae", "mse"])
def test_gradients_go_to_the_student_alone(kind):
    student = torch.randn(1, 3, 2, 2, 2, dtype=torch.float64).requires_grad_()
    teacher = torch.randn(1, 3, 2, 2, 2, dtype=torch.float64).requires_grad_()
    ConsistencyLoss(kind)(student, teacher).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None
    assert torch.autograd.gradcheck(lambda logits: ConsistencyLoss(kind)(logits, teacher), student)


@pytest.mark.parametrize("kind", ["mae", "mse"])
def test_equal_predictions_cost_nothing_and_bf16_computes_in_float32(kind):
    logits = torch.randn(2, 3, 4, 4, 4).bfloat16().requires_grad_()
    value = ConsistencyLoss(kind)(logits, logits.detach())
    value.backward()
    assert value.item() == 0
    assert value.dtype == torch.float32
    assert logits.grad.isfinite().all()


def test_bad_input():
    with pytest.raises(ValueError, match="kind must be one of mae, mse, got 'kl'"):
        ConsistencyLoss("kl")
    with pytest.raises(ValueError, match="teacher must have the student's shape"):
        ConsistencyLoss()(torch.zeros(1, 2, 4), torch.zeros(1, 2, 5))
