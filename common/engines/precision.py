"""Mixed precision as one word."""

from __future__ import annotations

from collections.abc import Sequence

import torch

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device | str, precision: str) -> torch.autocast:
    """Context in which a network runs at ``precision``: ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        ValueError: for another precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
    dtype = PRECISIONS[precision]
    return torch.autocast(torch.device(device).type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def best_precision(device: torch.device | str, roi_size: Sequence[int] | None = None) -> str:
    """``bf16`` where the device has instructions for it, else ``fp32``.

    Args:
        device: on which to run.
        roi_size: of the training patches, if a network with four halvings is to be trained. On the CPU, bf16 gradients
            of 3D convolutions are wrong where the first spatial size is 2 (seen with torch 2.13.0): ``fp32`` then.
    """
    if torch.device(device).type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if roi_size is not None and any(roi_size[0] == 2 * 2**level for level in range(5)):
        return "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"
