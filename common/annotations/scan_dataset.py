"""The dataset of training: images are read once, and kept in memory or, where they do not fit, mapped from disk."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from monai.data import CacheDataset, MetaTensor

from common.annotations.streams import Draw
from common.cohort.memory import images_size, memory_at_hand

logger = logging.getLogger(__name__)

SHARE_OF_MEMORY = 0.5
"""Share of the memory at hand that images may take; networks, validation scans and batches need the rest."""


class ScanDataset(CacheDataset):
    """Scans with their deterministic transforms done once and kept, and seeded random ones.

    A :py:class:`monai.data.CacheDataset` whose index is a :py:data:`Draw`: the seed decides all random transforms of
    the item, whichever process makes it. A position alone gives the item after its deterministic transforms.
    Cached items are not copied by default, since random transforms here leave their input as it is.

    Args:
        data: Items, each with the file of its ``image``.
        transform: Deterministic transforms, then random ones.
        overflow_dir: Folder whose disk takes the images if they need more than half of the memory at hand. They are
            read from there page by page, as far as patches need them, with the same values. Their files have no name,
            so that nothing is left of them when the process ends. By default images are kept in memory.
        settings: Further arguments of the class above.
    """

    def __init__(
        self, data: Sequence[Any], transform: Any = None, *, overflow_dir: str | Path | None = None, **settings: Any
    ) -> None:
        self._mapped: Path | None = None
        if overflow_dir is not None:
            needed = images_size(item["image"] for item in data)
            room = int(memory_at_hand() * SHARE_OF_MEMORY) // idist.get_nproc_per_node()
            if needed > room:
                self._mapped = Path(overflow_dir)
                logger.info(
                    "images need %.1f GB, and %.1f GB of memory may hold them: they are read from the disk of %s.",
                    needed / 1e9,
                    room / 1e9,
                    overflow_dir,
                )
        super().__init__(data, transform, **({"copy_cache": False} | settings))

    def __getitem__(self, index: Draw | int) -> dict:  # type: ignore[override]
        if isinstance(index, int):
            return self._cache[index]
        position, seed = index
        self.transform.set_random_state(seed=seed)
        return self._transform(position)

    def _load_cache_item(self, idx: int) -> dict:
        item: dict = super()._load_cache_item(idx)
        if self._mapped is None:
            return item
        return {
            key: on_disk(value, self._mapped, f"{idx}_{key}") if isinstance(value, torch.Tensor) else value
            for key, value in item.items()
        }


def on_disk(tensor: torch.Tensor, folder: Path, name: str) -> torch.Tensor:
    """The same tensor, whose values lie in a file without a name and come into memory as they are used.

    Args:
        tensor: A tensor on the CPU; of a MetaTensor's metadata, the affine is kept.
        folder: Folder of the file.
        name: Name that the file has until it loses it, beside the process's number. A system that cannot take a name
            away keeps the file, which the next run in that folder removes.

    Raises:
        OSError: If the disk is full.
    """
    plain = tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{os.getpid()}.{name}"
    try:
        plain.contiguous().numpy().tofile(path)
        mapped = torch.from_file(str(path), shared=False, size=plain.numel(), dtype=plain.dtype).view(plain.shape)
    finally:
        with suppress(PermissionError):
            path.unlink(missing_ok=True)
    return MetaTensor(mapped, affine=tensor.affine) if isinstance(tensor, MetaTensor) else mapped
