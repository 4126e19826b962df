"""Layers computed in one step with what comes with them, where PyTorch's library for the CPU can do so.

Else GELU alone takes a fifth of TinyViT's time, and the biases of linear layers are first copied to every token. The
operators are those that `torch.compile` makes of such layers, which needs a compiler; here they are called directly.
Results differ from those of several steps by rounding alone.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CPU: Any = torch.ops.mkldnn
_GELU: tuple[str, list[float], str] = ("gelu", [], "none")
_NOTHING: tuple[str, list[float], str] = ("none", [], "")


def linear(x: Tensor, layer: nn.Linear, *, gelu: bool = False) -> Tensor:
    """A linear layer of `x` `[..., in]`, followed by GELU or not: `[..., out]`.

    A layer that computes more than its weight and bias, such as one with LoRA, is called as it is.
    """
    if type(layer) is nn.Linear:
        return affine(x, layer.weight, layer.bias, gelu=gelu)
    return F.gelu(layer(x)) if gelu else layer(x)


def affine(x: Tensor, weight: Tensor, bias: Tensor, *, gelu: bool = False) -> Tensor:
    """What `linear` does, for a given weight `[out, in]` and bias `[out]`."""
    dtype = _one_step(x)
    if dtype is None:
        found = F.linear(x, weight, bias)
        return F.gelu(found) if gelu else found
    return _CPU._linear_pointwise(x.to(dtype), weight.to(dtype), bias.to(dtype), *(_GELU if gelu else _NOTHING))


def convolve(x: Tensor, weight: Tensor, bias: Tensor, layer: nn.Conv2d, *, gelu: bool = False) -> Tensor:
    """A convolution of `x` `[B, in, H, W]` with the given weight and bias and the layer's other settings.

    In one step, one of single pixels is computed as a linear layer, which is faster in the memory format channels last.
    """
    dtype = _one_step(x)
    if dtype is None:
        found = F.conv2d(x, weight, bias, layer.stride, layer.padding, groups=layer.groups)
        return F.gelu(found) if gelu else found
    if weight.shape[2:] == (1, 1) and layer.stride == (1, 1) and layer.groups == 1:
        return affine(x.permute(0, 2, 3, 1), weight[:, :, 0, 0], bias, gelu=gelu).permute(0, 3, 1, 2)
    settings = (layer.padding, layer.stride, layer.dilation, layer.groups, *(_GELU if gelu else _NOTHING))
    return _CPU._convolution_pointwise(x.to(dtype), weight.to(dtype), bias.to(dtype), *settings)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attention of `[A, B, N, D]` with what is added to the scores, `[A, 1, N, N]`: `[A, B, N, D]`.

    For small windows in bf16, the CPU takes longer to cut one step into pieces than it does for whole scores.
    """
    if _one_step(query) != torch.bfloat16:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    scores = torch.add(bias, query @ key.transpose(-1, -2), alpha=query.shape[-1] ** -0.5)
    return scores.softmax(dim=-1) @ value


def _one_step(x: Tensor) -> torch.dtype | None:
    """The type in which one step computes layers of `x`; None if it cannot, or for gradients or an export."""
    if torch.jit.is_tracing() or torch.compiler.is_exporting():
        return None
    if x.device.type != "cpu" or torch.is_grad_enabled() or not torch.backends.mkldnn.is_available():
        return None
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    if dtype == torch.bfloat16:
        return dtype if _CPU._is_mkldnn_bf16_supported() else None
    return dtype if dtype == torch.float32 else None
