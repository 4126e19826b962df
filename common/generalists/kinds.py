"""Generalists by name, as the bundles choose them."""

from __future__ import annotations

from pathlib import Path

import torch

from common.generalists.embedded.generalist import EmbeddedGeneralist
from common.generalists.generalist import Generalist
from common.generalists.sam.embeddings import EmbeddingCache
from common.generalists.sam.generalist import SamGeneralist
from common.generalists.sam.models import KINDS, load_sam

EMBEDDED = "embedded"


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
    """A generalist, ready to use.

    Args:
        name: `embedded`, which ships with the package, or one of `KINDS`: `mobile_sam`, `sam_vit_b`, `sam_vit_l`,
            `sam_vit_h`, `medsam`.
        device: where it runs.
        checkpoint: its weights; by default the shipped ones, or those that `python -m common weights fetch NAME` got.
        precision: `fp32`, `bf16` or `fp16`; by default the fastest the device computes natively.
        slices_per_pass: as in `SamGeneralist`.
        embedding_cache: folder in which a SAM keeps what its encoder gives; by default nothing is kept.
        cache_gb: size that this folder may reach.

    Raises:
        FileNotFoundError: if the weights are not there; it says how to get them.
        ValueError: for an unknown name, a setting that makes no sense, or weights of another kind.
    """
    if name == EMBEDDED:
        if slices_per_pass != 1 or embedding_cache is not None:
            raise ValueError(
                "slices_per_pass and embedding_cache are for the SAM family; the embedded generalist has no image "
                f"encoder, but got {slices_per_pass} and {embedding_cache!r}"
            )
        return EmbeddedGeneralist(device, checkpoint, precision=precision)
    if name not in KINDS:
        raise ValueError(f"generalist must be one of {EMBEDDED}, {', '.join(KINDS)}, got {name!r}")
    return SamGeneralist(
        load_sam(name, checkpoint),
        device,
        usage=KINDS[name].usage,
        precision=precision,
        slices_per_pass=slices_per_pass,
        cache=None if embedding_cache is None else EmbeddingCache(embedding_cache, cache_gb),
    )
