"""Mixed precision, chosen by one word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
CONVOLUTIONS = (torch.conv2d, torch.conv3d)


def autocast(device: torch.device | str, precision: str) -> AbstractContextManager[Any]:
    """Context in which a network runs at ``precision``: ``fp32``, ``bf16`` or ``fp16``.

    On the CPU, a convolution is trained at fp32 if its input is smaller than its kernel along the first spatial axis,
    or than half the kernel along another. Otherwise the gradients of its weights would be wrong, and memory would be
    overwritten (seen with torch 2.13.0). Such small convolutions take hardly any time.

    Raises:
        ValueError: If the precision is unknown.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
    dtype, kind = PRECISIONS[precision], torch.device(device).type
    context = torch.autocast(kind, dtype=dtype or torch.bfloat16, enabled=dtype is not None)
    return _training(context) if kind == "cpu" and dtype is not None and torch.is_grad_enabled() else context


def best_precision(device: torch.device | str) -> str:
    """``bf16`` where the device has instructions for it, else ``fp32``."""
    if torch.device(device).type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"


@contextmanager
def _training(context: torch.autocast) -> Iterator[None]:
    with context, _SmallConvolutions():
        yield


class _SmallConvolutions(TorchFunctionMode):
    """Runs convolutions of small inputs at the precision of their weights, see :func:`autocast`."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        if function not in CONVOLUTIONS:
            return function(*arguments, **(options or {}))
        return _convolve(function, *arguments, **(options or {}))


def _convolve(function: Callable[..., Tensor], input: Tensor, weight: Tensor, *others: Any, **options: Any) -> Tensor:
    kernel = weight.shape[2:]
    sizes = input.shape[-len(kernel) :]
    small = sizes[0] < kernel[0] or any(2 * size < width for size, width in zip(sizes, kernel, strict=True))
    with torch.autocast("cpu", enabled=False) if small else nullcontext():
        return function(input.to(weight.dtype) if small else input, weight, *others, **options)
