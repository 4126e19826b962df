"""The generalist that ships with the package."""

import pytest
import torch

from common.generalists import EmbeddedGeneralist, Generalist, prompts_from_masks
from common.generalists.embedded import PromptUNet
from common.generalists.embedded.generalist import load_prompt_unet


def ellipse_slice(size=(70, 90), centre=(30, 50), radii=(14, 22), noise=0.1, seed=0):
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    mask = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 < 1
    return mask + noise * torch.randn(size, generator=torch.Generator().manual_seed(seed)), mask


def dice(found, truth):
    return (2 * (found & truth).sum() / (found.sum() + truth.sum())).item()


@pytest.fixture(scope="module")
def generalist():
    return EmbeddedGeneralist(precision="fp32")


def prompts_of(masks, seed=0, **settings):
    return prompts_from_masks(masks.long(), (1.0, 1.0), torch.Generator().manual_seed(seed), **settings)


def test_is_a_generalist(generalist):
    assert isinstance(generalist, Generalist)


@pytest.mark.parametrize(("centre", "radii"), [((30, 50), (14, 22)), ((12, 15), (12, 9)), ((50, 40), (5, 7))])
@pytest.mark.parametrize("contrast", [1.0, 300.0])
def test_an_easy_ellipse(generalist, centre, radii, contrast):
    image, mask = ellipse_slice(centre=centre, radii=radii)
    found = generalist.segment(image[None] * contrast - 5, prompts_of(mask[None]), (1.0, 1.0))
    assert found.shape == (1, *image.shape)
    assert found.min() >= 0 and found.max() <= 1
    assert dice(found[0] > 0.5, mask) > 0.9


def test_the_prompt_chooses_the_object(generalist):
    image, first = ellipse_slice(centre=(20, 20), radii=(12, 12), noise=0.0)
    other, second = ellipse_slice(centre=(45, 65), radii=(15, 12), noise=0.05)
    image = image + other
    for mask in (first, second):
        found = generalist.segment(image[None], prompts_of(mask[None]), (1.0, 1.0))
        assert dice(found[0] > 0.5, mask) > 0.9


def test_nothing_far_from_the_box(generalist):
    image, mask = ellipse_slice(centre=(20, 20), radii=(8, 8))
    found = generalist.segment(image[None], prompts_of(mask[None], widen_mm=(0, 0)), (1.0, 1.0))
    assert not found[0, 40:].any() and not found[0, :, 40:].any()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_batched_equals_one_by_one(precision):
    images = torch.stack(
        [ellipse_slice(centre=(25 + i, 40 + 2 * i), radii=(10 + i, 20 - i), seed=i)[0] for i in range(5)]
    )
    masks = torch.stack([ellipse_slice(centre=(25 + i, 40 + 2 * i), radii=(10 + i, 20 - i))[1] for i in range(5)])
    prompts = prompts_of(masks)
    batched = EmbeddedGeneralist(precision=precision).segment(images, prompts, (1.0, 1.0))
    single = EmbeddedGeneralist(precision=precision, batch_size=1)
    alone = torch.cat([single.segment(images, prompts[i : i + 1], (1.0, 1.0)) for i in range(len(prompts))])
    torch.testing.assert_close(batched, alone, atol=1e-5 if precision == "fp32" else 2e-2, rtol=0)


def test_no_prompts(generalist):
    found = generalist.segment(torch.zeros(2, 8, 9), prompts_of(torch.zeros(2, 8, 9)), (1.0, 1.0))
    assert found.shape == (0, 8, 9)


def test_a_constant_image_gives_numbers(generalist):
    _, mask = ellipse_slice()
    found = generalist.segment(torch.full((1, 70, 90), 3.0), prompts_of(mask[None], points=0), (1.0, 1.0))
    assert torch.isfinite(found).all()


def test_missing_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pt.*embedded\.training"):
        EmbeddedGeneralist(weights=tmp_path / "none.pt")


def test_other_weights(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt must hold the weights of a PromptUNet"):
        EmbeddedGeneralist(weights=tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(ValueError, match=r"text\.pt must hold the weights"):
        EmbeddedGeneralist(weights=tmp_path / "text.pt")


@pytest.mark.parametrize("settings", [{"batch_size": 0}, {"precision": "fp8"}])
def test_bad_settings(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        EmbeddedGeneralist(**settings)


def test_network_is_small_and_any_multiple_of_16():
    network = PromptUNet().eval()
    assert sum(p.numel() for p in network.parameters()) < 1.5e6
    assert network(torch.zeros(2, 4, 32, 48)).shape == (2, 1, 32, 48)


def test_weights_of_several_processes(tmp_path):
    state = load_prompt_unet().state_dict()
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "unet.pt")
    loaded = load_prompt_unet(tmp_path / "unet.pt").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
