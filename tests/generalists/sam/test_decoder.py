"""The mask decoder, against segment_anything's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from common.generalists.sam.decoder import PromptDecoder
from common.generalists.sam.models import build_vit_sam, with_masks
from tests.generalists.sam.test_generalist import lively


@pytest.fixture(scope="module")
def sam() -> Any:
    torch.manual_seed(0)
    return lively(build_vit_sam(48, 1, 3, (), image_size=192))


def inputs(sam: Any, number: int = 3, tokens: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Positions, an embedding for each prompt, and prompts."""
    generator = torch.Generator().manual_seed(0)
    images, prompts = torch.randn(number, 256, 12, 12, generator=generator), torch.randn(number, tokens, 256)
    return sam.prompt_encoder.get_dense_pe(), images, prompts


def published(sam: Any, positions: torch.Tensor, images: torch.Tensor, prompts: torch.Tensor, several: bool) -> Any:
    """Masks and quality of one prompt after the other."""
    found = [
        sam.mask_decoder(image[None], positions, prompt[None], torch.zeros_like(image[None]), several)
        for image, prompt in zip(images, prompts, strict=True)
    ]
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


@pytest.mark.parametrize("tokens", [2, 7])
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("masks", [3, 5])
def test_masks_are_those_of_segment_anything(sam: Any, several: bool, tokens: int, masks: int) -> None:
    sam = with_masks(sam, masks) if masks > 3 else sam
    positions, images, prompts = inputs(sam, tokens=tokens)
    with torch.inference_mode():
        expected = published(sam, positions, images, prompts, several)
        found = PromptDecoder(sam.mask_decoder, positions, torch.float32)(images, prompts, several=several)
    assert expected[0].shape == (3, sam.mask_decoder.num_mask_tokens - 1 if several else 1, 48, 48)
    assert expected[0].std() > 0.1
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_each_image_may_lie_somewhere_else(sam: Any) -> None:
    """Parts of embeddings with the encodings of their own places, one prompt after the other by segment_anything."""
    positions, images, prompts = inputs(sam)
    parts = [(slice(0, 6), slice(0, 6)), (slice(6, 12), slice(0, 6)), (slice(3, 9), slice(6, 12))]
    images = torch.stack([image[:, y, x] for image, (y, x) in zip(images, parts, strict=True)])
    places = [positions[:, :, y, x] for y, x in parts]
    with torch.inference_mode():
        expected = [published(sam, places[n], images[n : n + 1], prompts[n : n + 1], True) for n in range(3)]
        decoder = PromptDecoder(sam.mask_decoder, positions, torch.float32)
        corners = torch.tensor([[x.start, y.start] for y, x in parts])
        masks, quality = decoder(images, prompts, several=True, corners=corners)
    torch.testing.assert_close(masks, torch.cat([it[0] for it in expected]), rtol=0, atol=1e-4)
    torch.testing.assert_close(quality, torch.cat([it[1] for it in expected]), rtol=0, atol=1e-4)


def test_bf16_is_close_to_fp32(sam: Any) -> None:
    positions, images, prompts = inputs(sam)
    with torch.inference_mode():
        expected, _ = published(sam, positions, images, prompts, True)
        found, quality = PromptDecoder(sam.mask_decoder, positions, torch.bfloat16)(images, prompts, several=True)
    assert found.dtype == torch.bfloat16 and quality.dtype == torch.float32
    assert (found.float() - expected).square().mean().sqrt() < 0.03 * expected.std()
