import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Compose

from common.transforms import RandIntensityCurved, bezier_curve, random_intensity_curves
from common.transforms.intensity_curve import monotone_control_points

T = np.linspace(0, 1, 100_000)
BASIS = np.array([(1 - T) ** 3, 3 * (1 - T) ** 2 * T, 3 * (1 - T) * T**2, T**3])


def reference(values, control_points):
    """Interpolates one curve between 100,000 of its points."""
    x, y = np.asarray(control_points, np.float64).T @ BASIS
    return np.interp(values, x, y)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_curves(number, **arguments):
    return monotone_control_points(torch.rand(number, 5, generator=seeded()), **arguments)


@pytest.fixture
def volume():
    return torch.randn(2, 1, 6, 7, 9, generator=seeded()) * 100 - 30


corner = st.sampled_from([0.0, 1.0]) | st.floats(0, 1, width=32)


@settings(max_examples=60, deadline=None)
@given(st.tuples(corner, corner, corner, corner), st.booleans())
def test_curves_against_100000_points(inner, inverted):
    points = torch.tensor([0, 0, *inner, 1, 1]).view(1, 4, 2)
    if inverted:
        points[..., 1] = 1 - points[..., 1]
    even = torch.linspace(0, 1, 1001)
    values = torch.cat([even, even**4, 1 - even**4, 0.5 + 4 * (even - 0.5) ** 3, torch.rand(500, generator=seeded())])
    found = bezier_curve(values[None], points)[0]
    np.testing.assert_allclose(found, reference(values.double().numpy(), points[0]), atol=1e-3, rtol=0)


def test_random_curves_against_100000_points():
    points = random_curves(64, inverted=0.5)
    values = torch.rand(64, 20, 30, generator=seeded(1))
    found = bezier_curve(values, points)
    expected = np.stack([reference(v, p) for v, p in zip(values.double().numpy(), points.numpy(), strict=True)])
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)
    assert np.abs(found.numpy() - expected).mean() < 5e-5


def test_values_outside_are_clamped():
    points = random_curves(1, inverted=0)
    assert bezier_curve(torch.tensor([[-0.5, 0, 1, 1.5]]), points).tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize(("inverted", "first", "sign"), [(0, 0, 1), (1, 1, -1)])
def test_control_points_give_monotone_curves(inverted, first, sign):
    points = random_curves(200, inverted=inverted)
    assert (points[:, 0] == torch.tensor([0, first])).all()
    assert (points[:, 3] == torch.tensor([1, 1 - first])).all()
    curves = bezier_curve(torch.linspace(0, 1, 300).expand(200, -1), points)
    assert (sign * curves.diff(dim=1) >= -1e-6).all()
    assert (curves[:, [0, -1]] == torch.tensor([first, 1 - first])).all()


def test_half_of_the_curves_are_inverted():
    points = random_curves(4000, inverted=0.5)
    assert (points[:, 0, 1] == 1).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert points[:, 1:3].mean().item() == pytest.approx(0.5, abs=0.02)


def test_volume_against_a_loop_over_slices(volume):
    found = random_intensity_curves(volume, seeded(3), prob=1, inverted=0.5, rescale=True)
    points = monotone_control_points(torch.rand(18, 6, generator=seeded(3))[:, 1:], inverted=0.5).view(2, 1, 9, 4, 2)
    for index in np.ndindex(2, 1, 9):
        section = volume[index[:2]][..., index[2]]
        low, span = section.min(), section.max() - section.min()
        expected = reference(((section - low) / span).double().numpy(), points[index]) * span.item() + low.item()
        np.testing.assert_allclose(found[index[:2]][..., index[2]], expected, atol=1e-3 * span.item(), rtol=0)


def test_intensities_as_they_are_follow_a_rising_curve_within_0_and_1(volume):
    volume = volume / 100
    found = random_intensity_curves(volume, seeded(3), prob=1)
    drawn = torch.rand(18, 6, generator=seeded(3))[:, 2:].view(2, 1, 9, 2, 2).numpy()
    for index in np.ndindex(2, 1, 9):
        x, y = np.array([[0, 0], *drawn[index], [1, 1]]).T @ BASIS
        section = volume[index[:2]][..., index[2]].double().numpy()
        expected = np.interp(section, np.sort(x), np.sort(y))
        np.testing.assert_allclose(found[index[:2]][..., index[2]], expected, atol=1e-3, rtol=0)
    assert (found[volume <= 0] == 0).all() and (found[volume >= 1] == 1).all() and (volume < 0).any()


def test_a_constant_slice_goes_where_its_curve_goes():
    found = random_intensity_curves(torch.tensor([-1.0, 0.5, 2.0]).expand(1, 2, 2, 3), seeded(), prob=1)
    assert (found[..., 0] == 0).all() and (found[..., 2] == 1).all()
    assert (found[..., 1] == found[0, 0, 0, 1]).all() and 0 < found[0, 0, 0, 1] < 1


def test_rescaled_slices_keep_their_range(volume):
    found = random_intensity_curves(volume, seeded(), prob=1, rescale=True)
    torch.testing.assert_close(found.amin(dim=(2, 3)), volume.amin(dim=(2, 3)))
    torch.testing.assert_close(found.amax(dim=(2, 3)), volume.amax(dim=(2, 3)))


def test_batch_equals_one_by_one(volume):
    generator, again = seeded(5), seeded(5)
    batch = random_intensity_curves(volume, generator)
    for one, expected in zip(volume, batch, strict=True):
        assert torch.equal(random_intensity_curves(one, again), expected)


def test_depends_on_the_generator_alone(volume):
    first = random_intensity_curves(volume, seeded(1))
    state = torch.get_rng_state()
    assert torch.equal(first, random_intensity_curves(volume, seeded(1)))
    assert not torch.equal(first, random_intensity_curves(volume, seeded(2)))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(("prob", "expected"), [(0, 0), (0.25, 0.25), (1, 1)])
def test_share_of_changed_slices(prob, expected):
    volume = torch.rand(1, 3, 3, 2000, generator=seeded())
    changed = (random_intensity_curves(volume, seeded(), prob=prob) != volume).any(dim=(0, 1, 2))
    assert changed.float().mean().item() == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_constant_rescaled_slices_and_the_input_are_untouched(volume, dtype):
    volume = volume.to(dtype)
    volume[0, :, :, :, 4] = 0.1
    for layout in (volume, volume.movedim(-1, -3).contiguous().movedim(-3, -1)):
        before = layout.clone()
        found = random_intensity_curves(layout, seeded(), prob=1, rescale=True)
        assert torch.equal(layout, before)
        assert (found.dtype, found.shape) == (dtype, volume.shape)
        assert found.isfinite().all()
        assert torch.equal(found[0, ..., 4], volume[0, ..., 4])
        assert not torch.equal(found[1, ..., 4], volume[1, ..., 4])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: random_intensity_curves(torch.zeros(1, 2, 2, 2, dtype=torch.uint8), seeded()), "got torch.uint8"),
        (lambda: random_intensity_curves(torch.zeros(2, 2), seeded()), r"got torch.float32 of shape \(2, 2\)"),
        (lambda: random_intensity_curves(torch.zeros(1, 2, 2, 2), seeded(), prob=2), r"0\.\.1, got 2 and 0\.0"),
        (lambda: RandIntensityCurved("image", inverted=-1), r"0\.\.1, got 0\.5 and -1"),
        (lambda: bezier_curve(torch.zeros(2, 5), torch.zeros(1, 4, 2)), r"shape \(2, 4, 2\), got \(1, 4, 2\)"),
        (lambda: bezier_curve(torch.zeros(1, 5), torch.zeros(1, 4, 2)), "an x of 0 first, of 1 last"),
        (lambda: bezier_curve(torch.zeros(1, 5, dtype=torch.int64), torch.zeros(1, 4, 2)), "got torch.int64"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_dictionary_transform(volume):
    image = MetaTensor(volume[0], affine=torch.diag(torch.tensor([2.0, 2, 2, 1])))
    transform = RandIntensityCurved(("image", "again"))
    item = {"image": image, "again": volume[0].numpy(), "scan": "a"}
    pipeline = Compose([transform]).set_random_state(7)
    first, second = pipeline(item), pipeline(item)
    assert torch.equal(first["image"].affine, image.affine)
    assert isinstance(first["again"], np.ndarray)
    np.testing.assert_array_equal(first["image"].numpy(), first["again"])
    assert not torch.equal(first["image"], second["image"])
    assert torch.equal(image.as_tensor(), volume[0])
    again = Compose([RandIntensityCurved("image")]).set_random_state(7)
    assert torch.equal(first["image"], again(item)["image"])
    expected = random_intensity_curves(volume[0], seeded(transform.curves_seed))
    assert torch.equal(second["image"].as_tensor(), expected)
