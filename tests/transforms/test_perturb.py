import pytest
import torch

from common.transforms import Perturb


@pytest.fixture
def images():
    return torch.randn(3, 2, 8, 9, 10, generator=torch.Generator().manual_seed(0))


def test_apply_by_hand():
    images = torch.tensor([[[0.0, 2.0]], [[1.0, 5.0]]])  # means 1 and 3
    factors = torch.tensor([0.5, 2.0]).reshape(2, 1, 1)
    noise = torch.tensor([[[0.0, 0.1]], [[-0.1, 0.0]]])
    expected = torch.tensor([[[0.5, 1.6]], [[-1.1, 7.0]]])
    torch.testing.assert_close(Perturb.apply(images, factors, noise), expected)


def test_input_is_untouched_even_without_any_perturbation(images):
    before = images.clone()
    Perturb()(images, 0)
    unperturbed = Perturb(noise_std=0, contrast=(1, 1))(images, 0)
    assert unperturbed.data_ptr() != images.data_ptr()
    torch.testing.assert_close(unperturbed, before)
    assert torch.equal(images, before)


def test_draws_stay_within_their_ranges(images):
    factors, noise = Perturb(noise_std=0.1, noise_limit=0.15, contrast=(0.5, 0.6)).draw(images, 3)
    assert factors.shape == (3, 1, 1, 1, 1)
    assert ((factors >= 0.5) & (factors <= 0.6)).all()
    assert noise.abs().max() == pytest.approx(0.15)
    _, free = Perturb(noise_std=0.1, noise_limit=9.0).draw(torch.zeros(1, 1, 50, 50, 50), 3)
    assert free.std().item() == pytest.approx(0.1, rel=0.02)
    assert free.mean().item() == pytest.approx(0, abs=1e-3)


def test_depends_on_seed_and_iteration_alone(images):
    first = Perturb(seed=1)(images, 7)
    torch.manual_seed(123)
    assert torch.equal(first, Perturb(seed=1)(images, 7))
    assert not torch.equal(first, Perturb(seed=1)(images, 8))
    assert not torch.equal(first, Perturb(seed=2)(images, 7))


def test_the_global_random_state_is_left_alone(images):
    state = torch.get_rng_state()
    Perturb()(images, 0)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_type_and_shape_stay(images, dtype):
    out = Perturb()(images.to(dtype), 0)
    assert (out.dtype, out.shape) == (dtype, images.shape)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise_std": -0.1}, "must not be negative"),
        ({"noise_limit": -0.1}, "must not be negative"),
        ({"contrast": (1.2, 0.8)}, "contrast must be a range"),
        ({"contrast": (0, 1)}, "contrast must be a range"),
        ({"contrast": (1,)}, "contrast must be a range"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Perturb(**arguments)


@pytest.mark.parametrize("images", [torch.zeros(1, 1, 4, 4, 4).int(), torch.zeros(2, 3)])
def test_bad_images(images):
    with pytest.raises(ValueError, match="images must be floating point"):
        Perturb()(images, 0)
