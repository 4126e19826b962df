"""SAM as a network that segments a volume by its slices, stitched into one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from common.generalists.sam.models import with_masks
from common.generalists.sam.scripted import ScriptableStitchedSam, to_unit_range
from common.networks.pretrained import load_pretrained
from common.networks.traced import refuse_other_sizes
from common.transforms.stitch import StitchLayout, stitch, unstitch


@dataclass(frozen=True)
class StitchedView:
    """A way to turn a stitched image before SAM sees it; the prediction is turned back.

    Attributes:
        turns: Number of quarter turns.
        flip: Whether the image is mirrored after that.
        reverse: Whether the slices are laid out from last to first.
    """

    turns: int = 0
    flip: bool = False
    reverse: bool = False

    def turn(self, image: Tensor) -> Tensor:
        """Turns images `[..., S, S]`."""
        turned = image.rot90(self.turns, (-2, -1))
        return turned.flip(-1) if self.flip else turned

    def turn_back(self, image: Tensor) -> Tensor:
        """Undoes `turn`."""
        straight = image.flip(-1) if self.flip else image
        return straight.rot90(-self.turns, (-2, -1))


CONFIDENCE_VIEWS = (StitchedView(), StitchedView(2), StitchedView(1, flip=True), StitchedView(reverse=True))
"""The views whose agreement can be a confidence (ours): two orders of the slices, two turns and a flip."""


class StitchedSam(nn.Module):
    """Segments a volume as one image (SFR, IEEE TMI 2025): SAM segments the stitched slices without a prompt.

    The first masks of SAM's multimask output stand for the classes, background included (`with_masks` adds masks if
    there are more classes); this is our choice. As a network for volumes, it is trained, slid over whole scans and
    evaluated like any other. Margins of the stitched image do not enter the loss because they are not in the result.

    Args:
        sam: A `segment_anything.modeling.Sam`, with or without LoRA.
        num_classes: Number of classes C, background included.
        enlarge: Factor by which slices are enlarged before they are stitched; 1 in the paper. SAM's masks have a
            quarter of the image's resolution.
        augment: Whether the stitched image is turned at random during training.
        mirrored: Probability with which a turned image is mirrored as well, 0..1. The paper's code mirrors every one.
        reversed_slices: Probability with which the slices are laid out from last to first during training, 0..1; the
            paper's code never does.
        save_memory: Whether activations of the encoder's blocks are recomputed in the backward pass, not stored.
        unit_range: Whether the intensities of each volume are scaled to 0..1, as MedSAM and LiteMedSAM expect them; if
            not, they stay as they come.
        weights: File of a state dict to start from; errors are those of :func:`common.networks.load_pretrained`.

    Shapes: From ``[B, 1, H, W, D]``, normalised to mean 0 and deviation 1 (SAM's own input is close to that), to
    logits ``[B, C, H, W, D]``.

    Attributes:
        view: View used in evaluation.

    Raises:
        ValueError: If a probability is not in 0..1.
    """

    def __init__(
        self,
        sam: nn.Module,
        num_classes: int = 2,
        *,
        enlarge: int = 1,
        augment: bool = True,
        mirrored: float = 1.0,
        reversed_slices: float = 0.0,
        save_memory: bool = False,
        unit_range: bool = False,
        weights: str | Path | None = None,
    ) -> None:
        super().__init__()
        for name, share in (("mirrored", mirrored), ("reversed_slices", reversed_slices)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must lie in 0..1, got {share}.")
        model: Any = with_masks(sam, num_classes)
        self.sam = model
        self.num_classes = num_classes
        self.enlarge = enlarge
        self.augment = augment
        self.mirrored = mirrored
        self.reversed_slices = reversed_slices
        self.unit_range = unit_range
        self.side = int(model.prompt_encoder.input_image_size[0])
        self.view = StitchedView()
        if weights is not None:
            load_pretrained(self, weights)
        if save_memory:
            for stage in model.image_encoder.modules():
                for block in getattr(stage, "blocks", ()):
                    block.forward = partial(checkpoint, block.forward, use_reentrant=False)

    def forward(self, x: Tensor) -> Tensor:
        x = refuse_other_sizes(x)
        view = self._random_view() if self.training and self.augment else self.view
        scaled = to_unit_range(x, torch.finfo(x.dtype).tiny) if self.unit_range else x
        ordered = scaled.flip(-1) if view.reverse else scaled
        image, layout = stitch(self._resized(ordered, self.enlarge), self.side)
        logits = view.turn_back(self._segment(view.turn(image)))
        volume = self._resized(unstitch(logits, layout), 1 / self.enlarge, x.shape[2:4])
        return volume.flip(-1) if view.reverse else volume

    def layout(self, size: Sequence[int]) -> StitchLayout:
        """Where the slices of a volume `[H, W, D]` of this size lie on the stitched image.

        Raises:
            ValueError: If the slices are larger than the image.
        """
        rows, columns = (round(self.enlarge * side) for side in size[:2])
        return StitchLayout.fitting((rows, columns, size[2]), self.side)

    def __prepare_scriptable__(self) -> nn.Module:
        if self.view != StitchedView():
            raise ValueError(f"view must be {StitchedView()} for TorchScript, got {self.view}.")
        segment = ImageSegmenter(self.sam, self.num_classes)
        return ScriptableStitchedSam(segment, self.side, enlarge=self.enlarge, unit_range=self.unit_range)

    def _segment(self, image: Tensor) -> Tensor:
        """Segments stitched images `[B, N, 1, S, S]`: logits `[B, N, C, S, S]`."""
        logits = segment_images(self.sam, image.flatten(0, 1), self.num_classes)
        return logits.unflatten(0, image.shape[:2])

    def _random_view(self) -> StitchedView:
        turns, (flip, reverse) = int(torch.randint(4, (1,))), torch.rand(2).tolist()
        return StitchedView(turns, flip < self.mirrored, reverse < self.reversed_slices)

    def _resized(self, volume: Tensor, factor: float, size: torch.Size | None = None) -> Tensor:
        """Scales the slices of a volume `[B, C, H, W, D]` in their plane."""
        if factor == 1:
            return volume
        rows, columns = size or [round(factor * int(side)) for side in volume.shape[2:4]]
        return F.interpolate(volume, (rows, columns, volume.shape[4]), mode="trilinear", align_corners=False)


class ImageSegmenter(nn.Module):
    """`segment_images` as a network.

    Args:
        sam: A `segment_anything.modeling.Sam`.
        num_classes: Number of classes C.
    """

    def __init__(self, sam: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.sam = sam
        self.num_classes = num_classes

    def forward(self, images: Tensor) -> Tensor:
        return segment_images(self.sam, images, self.num_classes)


def segment_images(sam: Any, images: Tensor, num_classes: int) -> Tensor:
    """Segments grey images with a SAM that gets no prompt: from ``[N, 1, S, S]`` to logits ``[N, C, S, S]``.

    Args:
        sam: A `segment_anything.modeling.Sam` whose decoder has at least so many masks.
        images: Images of the side that the SAM expects.
        num_classes: Number of classes C.
    """
    embeddings = sam.image_encoder(images.expand(-1, 3, -1, -1))
    sparse, dense = sam.prompt_encoder(points=None, boxes=None, masks=None)
    masks, _ = sam.mask_decoder(
        image_embeddings=torch.zeros_like(embeddings[:1]),
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse.expand(embeddings.shape[0], -1, -1),
        dense_prompt_embeddings=embeddings + dense,
        multimask_output=True,
    )
    return F.interpolate(masks[:, :num_classes], images.shape[-2:], mode="bilinear", align_corners=False)
