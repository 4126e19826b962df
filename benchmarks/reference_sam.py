"""The reference implementations of SAM and MobileSAM, usable without working installations of torchvision and timm.

Tests and benchmarks compare this project with them; the package never uses them.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image
from torch import nn


@cache
def sam_predictor() -> Any:
    """The class `segment_anything.SamPredictor`; images are resized by PIL, which torchvision would call too."""
    functional: Any = ModuleType("torchvision.transforms.functional")
    functional.to_pil_image = Image.fromarray
    functional.resize = lambda picture, size: picture.resize(size[::-1], Image.Resampling.BILINEAR)
    found = importlib.util.find_spec("segment_anything")
    package: Any = ModuleType("segment_anything")
    package.__path__ = list((found and found.submodule_search_locations) or [])
    transforms = [ModuleType(name) for name in ("torchvision", "torchvision.transforms")]
    with patch.dict(sys.modules, {module.__name__: module for module in [functional, package, *transforms]}):
        return importlib.import_module("segment_anything.predictor").SamPredictor


@cache
def tiny_vit() -> Any | None:
    """The class `mobile_sam.modeling.tiny_vit_sam.TinyViT`; None if mobilesam-mirror is not installed."""
    package = importlib.util.find_spec("mobile_sam")
    if package is None or package.origin is None:
        return None
    layers: Any = ModuleType("timm.models.layers")
    layers.DropPath, layers.trunc_normal_, layers.to_2tuple = (
        nn.Module,
        nn.init.trunc_normal_,
        lambda size: (size, size),
    )
    registry: Any = ModuleType("timm.models.registry")
    registry.register_model = lambda function: function
    modules = [ModuleType("timm"), ModuleType("timm.models"), layers, registry]
    file = Path(package.origin).parent / "modeling" / "tiny_vit_sam.py"
    specification: Any = importlib.util.spec_from_file_location("reference_tiny_vit", file)
    module: Any = importlib.util.module_from_spec(specification)
    with patch.dict(sys.modules, {it.__name__: it for it in modules}):
        specification.loader.exec_module(module)
    return module.TinyViT


MOBILE_SAM = {
    "embed_dims": (64, 128, 160, 320),
    "depths": (2, 2, 6, 2),
    "num_heads": (2, 4, 5, 10),
    "window_sizes": (7, 7, 14, 7),
}
"""The settings with which MobileSAM builds its encoder."""


def as_rgb(grey: np.ndarray) -> np.ndarray:
    """Repeats grey levels `[H, W]` of 0..255 in the three channels of an image `[H, W, 3]`."""
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
