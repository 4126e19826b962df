"""A SAM to be fine-tuned."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from common.generalists.sam.lora import add_lora
from common.generalists.sam.models import KINDS, load_sam, small_sam

SMALL = "small"

logger = logging.getLogger(__name__)


def trainable_sam(
    kind: str = SMALL, *, image_size: int = 1024, checkpoint: str | Path | None = None, lora_rank: int = 4
) -> nn.Module:
    """A SAM whose encoder learns by LoRA and whose decoder learns as a whole (SFR, IEEE TMI 2025), or a small one.

    Args:
        kind: one of `KINDS`, or `small`: random weights, all of which are trained.
        image_size: side of its square input in pixels; 1024 but for the small one.
        checkpoint: of a kind other than `small`; by default where `python -m common weights fetch KIND` puts it.
        lora_rank: of the update to the queries and values of each block.

    Raises:
        FileNotFoundError: if the weights are not there.
        ValueError: for an unknown kind, weights of another one, or an image size that it does not take.
    """
    if kind == SMALL:
        if checkpoint is not None:
            raise ValueError(f"checkpoint is for {', '.join(KINDS)}; the small SAM has none, got {str(checkpoint)!r}")
        logger.warning("NO SAM GIVEN: a small one is trained from nothing, in all its weights. --sam chooses another.")
        return small_sam(image_size)
    if kind not in KINDS:
        raise ValueError(f"sam must be one of {SMALL}, {', '.join(KINDS)}, got {kind!r}")
    if image_size != 1024:
        raise ValueError(f"image_size of {kind} must be 1024, got {image_size}")
    return add_lora(load_sam(kind, checkpoint), lora_rank)
