"""Files of plain tensors, as others give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def read_checkpoint(path: Path, *, expected: str, found: str) -> Any:
    """The content of a file that holds nothing but tensors and Python's own types, on the CPU.

    Args:
        path: of the file.
        expected: what should be in it, for the error.
        found: what it is instead, if it cannot be read.

    Raises:
        ValueError: if it is damaged, or would have to run code.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged file, torch raises whatever zip and pickle raise
        reason = (str(error).splitlines() or [""])[0]
        if "weights_only" in str(error):
            reason = "it holds more than tensors; save the state_dict alone"
        raise ValueError(f"{path}: expected {expected}, found {found} ({type(error).__name__}: {reason})") from error
