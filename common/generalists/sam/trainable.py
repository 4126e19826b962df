"""Makes a SAM ready to be fine-tuned."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from common.checks import check_one_of
from common.generalists.sam.lora import add_lora
from common.generalists.sam.models import KINDS, load_sam, small_sam
from common.generalists.sam.usage import SAM, Usage

SMALL = "small"

logger = logging.getLogger(__name__)


def image_size_of(kind: str) -> int:
    """Side in pixels of the square images on which a kind is fine-tuned, unless another is chosen.

    Raises:
        ValueError: If the kind is neither `small` nor one of `KINDS`.
    """
    check_one_of("sam", kind, [SMALL, *KINDS])
    return 1024 if kind == SMALL else KINDS[kind].image_size


def usage_of(kind: str) -> Usage:
    """How a kind expects its input; the small SAM learns to take it as SAM does.

    Raises:
        ValueError: If the kind is neither `small` nor one of `KINDS`.
    """
    check_one_of("sam", kind, [SMALL, *KINDS])
    return SAM if kind == SMALL else KINDS[kind].usage


def announce_sam(kind: str) -> None:
    """Says before a training that it starts from random weights, for a SAM is expected to know much already."""
    if kind == SMALL:
        logger.warning("NO SAM GIVEN: a small one is trained from random weights. --sam chooses another.")


def trainable_sam(
    kind: str = SMALL, *, image_size: int | None = None, checkpoint: str | Path | None = None, lora_rank: int = 4
) -> nn.Module:
    """Makes a SAM whose encoder learns by LoRA and whose decoder learns as a whole (SFR, IEEE TMI 2025).

    Args:
        kind: One of `KINDS`, or `small` for a small SAM with random weights, all of which are trained.
        image_size: Side of the square input in pixels; by default that of the published weights (256 for `lite_medsam`,
            1024 for the others), which can be changed for `small` alone.
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
        return small_sam(image_size or image_size_of(SMALL))
    fitting = image_size_of(kind)
    if image_size not in (None, fitting):
        raise ValueError(f"image_size of {kind} must be {fitting}, got {image_size}")
    return add_lora(load_sam(kind, checkpoint), lora_rank)
