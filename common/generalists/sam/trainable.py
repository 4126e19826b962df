"""Makes a SAM ready to be fine-tuned."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from common.checks import check_one_of
from common.generalists.sam.lora import add_lora
from common.generalists.sam.models import KINDS, load_sam, small_sam

SMALL = "small"

logger = logging.getLogger(__name__)


def trainable_sam(
    kind: str = SMALL, *, image_size: int = 1024, checkpoint: str | Path | None = None, lora_rank: int = 4
) -> nn.Module:
    """Makes a SAM whose encoder learns by LoRA and whose decoder learns as a whole (SFR, IEEE TMI 2025).

    Args:
        kind: One of `KINDS`, or `small` for a small SAM with random weights, all of which are trained.
        image_size: Side of the square input in pixels; must be 1024 unless the kind is `small`.
        checkpoint: File of the weights, not for `small`; by default the one that `python -m common weights fetch KIND`
            downloads.
        lora_rank: Rank of the update to the queries and values of each block.

    Raises:
        FileNotFoundError: If the weights are not there.
        ValueError: If the kind is unknown, the weights are of another kind, or the image size does not suit it.
    """
    if kind == SMALL:
        if checkpoint is not None:
            raise ValueError(f"checkpoint is for {', '.join(KINDS)}; the small SAM has none, got {str(checkpoint)!r}")
        logger.warning("NO SAM GIVEN: a small one is trained from random weights. --sam chooses another.")
        return small_sam(image_size)
    check_one_of("sam", kind, [SMALL, *KINDS])
    if image_size != 1024:
        raise ValueError(f"image_size of {kind} must be 1024, got {image_size}")
    return add_lora(load_sam(kind, checkpoint), lora_rank)
