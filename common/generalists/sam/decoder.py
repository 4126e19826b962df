"""SAM's mask decoder for many prompts, reordered so that little is computed for each pixel of the embedding."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from common.generalists.sam.fused import affine


class PromptDecoder:
    """SAM's mask decoder (Kirillov et al., ICCV 2023), each prompt with an embedding of its own.

    A prompt's few tokens and an embedding's thousands of pixels attend to each other. The published code projects every
    pixel to queries, keys and values of each head; here the projections are applied to the tokens instead, since
    `q · (W x) = (Wᵀ q) · x` and `Σ p (W x) = W Σ p x`. The transposed convolutions are computed as linear layers of
    the pixels, and masks that are not asked for are left out. Results differ from the published decoder's by rounding.

    Args:
        decoder: A `segment_anything.modeling.MaskDecoder` in float32, whose weights do not change any more.
        positions: Encoding of the embedding's positions `[1, C, h, w]`.
        dtype: Type in which pixels are computed; tokens are computed in float32.
    """

    def __init__(self, decoder: Any, positions: Tensor, dtype: torch.dtype) -> None:
        self.decoder = decoder
        self.dtype = dtype
        self._positions = positions[0].permute(1, 2, 0).to(dtype).contiguous()
        first, norm, _, second, _ = decoder.output_upscaling
        self._enlarge = _as_linear(first, dtype)
        self._enlarge_again = _as_linear(second, dtype)
        self._norm = norm.weight.to(dtype), norm.bias.to(dtype), norm.eps
        self._norms = [(it.norm4.weight.to(dtype), it.norm4.bias.to(dtype)) for it in decoder.transformer.layers]

    def __call__(
        self, images: Tensor, prompts: Tensor, *, several: bool, corners: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Decodes prompts.

        Args:
            images: Embedding `[P, C, h, w]` of each prompt's image, plus the prompt's dense embedding.
            prompts: Tokens `[P, N, C]` of each prompt.
            several: Whether the masks for ambiguous prompts are returned rather than the single one.
            corners: Position (x, y) of each image's upper left pixel `[P, 2]`, if images are parts of an embedding.

        Returns:
            Logits `[P, M, 4h, 4w]` of one or several masks, and the predicted IoU `[P, M]` of each.
        """
        decoder, transformer = self.decoder, self.decoder.transformer
        outputs = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens = torch.cat([outputs.expand(len(prompts), -1, -1), prompts], dim=1)
        queries, pixels = tokens, _pixels(images).to(self.dtype)
        where = self._where(images, corners)
        for layer, (weight, bias) in zip(transformer.layers, self._norms, strict=True):
            placed = pixels + where
            queries = layer.norm1(_attend_to_each_other(layer, queries, tokens))
            seen = _attend_to_pixels(layer.cross_attn_token_to_image, queries + tokens, placed, pixels)
            queries = layer.norm2(queries + seen)
            queries = layer.norm3(queries + layer.mlp(queries))
            told = _attend_to_tokens(layer.cross_attn_image_to_token, placed, queries + tokens, queries)
            pixels = F.layer_norm(pixels + told, weight.shape, weight, bias, layer.norm4.eps)
        final, placed = transformer.final_attn_token_to_image, pixels + where
        queries = queries + _attend_to_pixels(final, queries + tokens, placed, pixels)
        queries = transformer.norm_final_attn(queries)
        wanted = slice(1, decoder.num_mask_tokens) if several else slice(0, 1)
        mixtures = decoder.output_hypernetworks_mlps[wanted]
        mixed = torch.stack([mix(queries[:, 1 + wanted.start + n]) for n, mix in enumerate(mixtures)], dim=2)
        masks = self._enlarged(pixels) @ mixed.to(self.dtype)
        size = {"h": images.shape[2], "w": images.shape[3], "y": 2, "x": 2, "v": 2, "u": 2}
        logits = rearrange(masks, "p (h w y x v u) m -> p m (h y v) (w x u)", **size)
        return logits, decoder.iou_prediction_head(queries[:, 0])[:, wanted]

    def _where(self, images: Tensor, corners: Tensor | None) -> Tensor:
        """Encoding of the positions of each image's pixels, `[P, h * w, C]`, or `[1, h * w, C]` if all are the same."""
        if corners is None:
            return self._positions.flatten(0, 1)[None]
        rows, columns = images.shape[2:]
        parts = [self._positions[y : y + rows, x : x + columns].flatten(0, 1) for x, y in corners.tolist()]
        return torch.stack(parts)

    def _enlarged(self, pixels: Tensor) -> Tensor:
        """From `[P, h * w, C]` to the features `[P, h * w * 16, C / 8]` of each pixel's 2 x 2 parts of 2 x 2 parts."""
        weight, bias, eps = self._norm
        parts = affine(pixels, *self._enlarge).unflatten(-1, (4, -1))
        parts = F.gelu(F.layer_norm(parts, weight.shape, weight, bias, eps))
        return affine(parts, *self._enlarge_again, gelu=True).unflatten(-1, (4, -1)).flatten(1, 3)


def _pixels(image: Tensor) -> Tensor:
    return image.flatten(2).transpose(1, 2).contiguous()


def _as_linear(convolution: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight and bias with which a linear layer makes the 2 x 2 pixels that a transposed convolution makes of one."""
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)
    return weight.to(dtype).contiguous(), convolution.bias.repeat(4).to(dtype)


def _attend_to_each_other(layer: Any, queries: Tensor, tokens: Tensor) -> Tensor:
    """The self-attention of tokens `[P, N, C]`, added to them in all layers but the first."""
    if layer.skip_first_layer_pe:
        found: Tensor = layer.self_attn(q=queries, k=queries, v=queries)
        return found
    placed = queries + tokens
    return queries + layer.self_attn(q=placed, k=placed, v=queries)


def _attend_to_pixels(attention: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """What tokens `[P, N, C]` get from pixels `[P, T, C]`; the keys' bias shifts all scores alike, and is left out."""
    asked = _heads(attention, attention.q_proj(queries))
    asked = torch.einsum("pnhd,hdc->pnhc", asked, _weight(attention, attention.k_proj)).flatten(1, 2)
    shares = (asked.to(keys.dtype) @ keys.transpose(1, 2)).softmax(dim=-1)
    seen = (shares @ values).to(queries.dtype).unflatten(1, (queries.shape[1], -1))
    found = torch.einsum("pnhc,hdc->pnhd", seen, _weight(attention, attention.v_proj, scaled=False)).flatten(2)
    told: Tensor = attention.out_proj(found + attention.v_proj.bias)
    return told


def _attend_to_tokens(attention: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """What pixels `[P, T, C]` get from tokens `[P, N, C]`."""
    known = _heads(attention, attention.k_proj(keys))
    asked = torch.einsum("pnhd,hdc->phnc", known, _weight(attention, attention.q_proj)).flatten(1, 2)
    shift = torch.einsum("pnhd,hd->phn", known, _heads(attention, attention.q_proj.bias) / known.shape[-1] ** 0.5)
    scores = asked.to(queries.dtype) @ queries.transpose(1, 2) + shift.flatten(1).to(queries.dtype)[..., None]
    shares = scores.unflatten(1, (attention.num_heads, -1)).softmax(dim=2).flatten(1, 2)
    out = attention.out_proj.weight.unflatten(1, (attention.num_heads, -1))
    given = torch.einsum("pnhd,chd->phnc", _heads(attention, attention.v_proj(values)), out).flatten(1, 2)
    return shares.transpose(1, 2) @ given.to(queries.dtype) + attention.out_proj.bias.to(queries.dtype)


def _heads(attention: Any, x: Tensor) -> Tensor:
    return x.unflatten(-1, (attention.num_heads, -1))


def _weight(attention: Any, projection: Any, *, scaled: bool = True) -> Tensor:
    """A projection's weight by head, `[heads, D, C]`, divided by the root of D for scores."""
    weight = projection.weight.unflatten(0, (attention.num_heads, -1))
    return weight / weight.shape[1] ** 0.5 if scaled else weight
