"""Opens a generalist by its name, which is how the bundles choose one."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from common.checks import check_one_of
from common.generalists.embedded.generalist import EmbeddedGeneralist
from common.generalists.generalist import Generalist
from common.generalists.sam.embeddings import EmbeddingCache
from common.generalists.sam.generalist import SamGeneralist
from common.generalists.sam.models import KINDS, load_sam

EMBEDDED = "embedded"

logger = logging.getLogger(__name__)


def announce_generalist(name: str) -> None:
    """Warns of the one default of FM-ABS that is not the paper's, whose generalist is MobileSAM."""
    if name == EMBEDDED:
        logger.warning(
            "THE GENERALIST IS THE EMBEDDED ONE, not the paper's MobileSAM, whose weights a fresh machine lacks. "
            "For the paper's: `python -m common weights fetch mobile_sam`, then --generalist mobile_sam."
        )


@torch.random.fork_rng(devices=[])
def open_generalist(
    name: str = EMBEDDED,
    device: torch.device | str = "cpu",
    *,
    checkpoint: str | Path | None = None,
    precision: str | None = None,
    slices_per_pass: int = 1,
    embedding_cache: str | Path | None = None,
    cache_gb: float = 100.0,
) -> Generalist:
    """Opens a generalist with its weights, ready to use; PyTorch's random numbers stay as they were.

    Args:
        name: `embedded`, which ships with the package, or one of `KINDS`: `mobile_sam`, `sam_vit_b`, `sam_vit_l`,
            `sam_vit_h`, `medsam`, `lite_medsam`.
        device: Device that it runs on.
        checkpoint: File of its weights; by default the shipped ones, or those fetched by
            `python -m common weights fetch NAME`.
        precision: `fp32`, `bf16` or `fp16`; by default the fastest that the device computes natively.
        slices_per_pass: Most slices that share one pass of SAM's encoder, see `SamGeneralist`.
        embedding_cache: Folder in which a SAM keeps its image embeddings; by default none are kept.
        cache_gb: Size in gigabytes that this folder may reach.

    Raises:
        FileNotFoundError: If the weights are not there; the message says how to get them.
        ValueError: If the name is unknown, a setting makes no sense, or the weights do not fit.
    """
    if name == EMBEDDED:
        if slices_per_pass != 1 or embedding_cache is not None:
            raise ValueError(
                "slices_per_pass and embedding_cache are for the SAM family; the embedded generalist takes 1 and None, "
                f"got {slices_per_pass} and {embedding_cache!r}"
            )
        return EmbeddedGeneralist(device, checkpoint, precision=precision)
    check_one_of("generalist", name, [EMBEDDED, *KINDS])
    return SamGeneralist(
        load_sam(name, checkpoint),
        device,
        usage=KINDS[name].usage,
        precision=precision,
        slices_per_pass=slices_per_pass,
        cache=None if embedding_cache is None else EmbeddingCache(embedding_cache, cache_gb),
    )
