"""What a TinyViT's padding decides alone is not computed again, and the embedding stays the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from common.generalists.sam.padded import PaddedEncoder
from common.generalists.sam.tiny_vit import Step, TinyViT
from tests.generalists.sam.test_tiny_vit import SMALL, random_state


def encoder(patch: int) -> TinyViT:
    network = TinyViT(**SMALL, patch=patch, classes=0).eval()
    network.load_state_dict(random_state(network))
    return network


def padded(covered: tuple[int, int], side: int, number: int = 2, seed: int = 0) -> torch.Tensor:
    image = torch.zeros(number, 3, side, side)
    generator = torch.Generator().manual_seed(seed)
    image[:, :, : covered[0], : covered[1]] = torch.randn(number, 3, *covered, generator=generator)
    return image


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(
    ("patch", "side", "covered"),
    [
        (1, 64, (20, 64)),
        (1, 64, (64, 33)),
        (1, 60, (7, 9)),
        (1, 64, (64, 64)),
        (4, 128, (50, 128)),
        (4, 132, (3, 61)),
    ],
)
def test_embedding_is_the_encoders_own(patch: int, side: int, covered: tuple[int, int], bf16: bool) -> None:
    """For one batch after the other, so that what is kept of the first must serve the second."""
    network = encoder(patch)
    fast = PaddedEncoder(network)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for seed, number in enumerate((2, 1)):
            images = padded(covered, side, number, seed)
            expected, found = network(images), fast(images, covered)
            assert found.dtype == expected.dtype and expected.std() > 0.1
            torch.testing.assert_close(found, expected, rtol=0, atol=0.05 if bf16 else 1e-5)


def test_types_are_not_mixed_up() -> None:
    """What is kept in bf16 does not serve float32."""
    network, images = encoder(1), padded((20, 64), 64)
    fast = PaddedEncoder(network)
    with torch.inference_mode():
        with torch.autocast("cpu", torch.bfloat16):
            fast(images, (20, 64))
        torch.testing.assert_close(fast(images, (20, 64)), network(images), rtol=0, atol=1e-5)


def test_what_padding_decides_is_not_computed() -> None:
    """9 rows of 64 are covered: first 9, then the 10 that they reach and another for the convolution, are computed."""
    network = encoder(1)
    fast, seen = PaddedEncoder(network), []
    with torch.inference_mode():
        fast(padded((9, 64), 64, 1), (9, 64))
        for module in (network.patch_embed, network.layers[0].blocks[0], network.layers[0].downsample):
            module.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape[2:])))
        fast(padded((9, 64), 64, 1), (9, 64))
    # the merging has stride 2: 6 of its rows depend on the 10 above, and their last pixels are in the 12th
    assert seen == [(9, 64), (11, 64), (12, 64)]


@pytest.mark.parametrize(
    ("step", "rows", "reached", "needed"),
    [
        (Step(nn.Identity()), 5, 5, 5),
        (Step(nn.Identity(), (1,)), 5, 6, 7),
        (Step(nn.Identity(), (2,)), 5, 3, 6),
        (Step(nn.Identity(), (2,)), 4, 3, 6),
        (Step(nn.Identity(), (2, 2)), 5, 2, 8),
        (Step(nn.Identity(), window=7), 8, 14, 14),
    ],
)
def test_reach_by_hand(step: Step, rows: int, reached: int, needed: int) -> None:
    """A 3 x 3 convolution of stride s makes its row n of the rows from s n - 1 to s n + 1."""
    assert step.reached(rows) == reached
    assert step.needed(reached) == needed


@pytest.mark.parametrize("strides", [(1,), (2,), (2, 2), (1, 2)])
@pytest.mark.parametrize("rows", range(1, 9))
def test_reach_of_convolutions(strides: tuple[int, ...], rows: int) -> None:
    """Against the gradient: which rows of the output depend on the first rows of the input, and on which they do."""
    layers = nn.Sequential(*(nn.Conv2d(1, 1, 3, stride, 1) for stride in strides))
    for layer in layers:
        nn.init.ones_(layer.weight)
    image = torch.zeros(1, 1, 40, 5, requires_grad=True)
    step, output = Step(layers, strides), layers(image).sum(dim=(0, 1, 3))
    depends = torch.stack([torch.autograd.grad(row, image, retain_graph=True)[0].sum(dim=(0, 1, 3)) for row in output])
    reached = int(depends[:, :rows].any(dim=1).nonzero().max()) + 1
    assert step.reached(rows) == reached
    assert step.needed(reached) == int(depends[:reached].any(dim=0).nonzero().max()) + 1
    assert step.size(40) == len(output)
