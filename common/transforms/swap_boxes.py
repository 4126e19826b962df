"""Bidirectional copy-paste: exchanges boxes between patches of annotated scans and patches of other scans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Box = tuple[slice, ...]
"""A box as a slice along each axis."""


class SwapBoxes:
    """Exchanges a box at a random place between each patch of an annotated scan and a patch of another scan.

    The bundle of ASSFT uses it; it is our addition, of which ASSFT's abstract says nothing. It follows bidirectional
    copy-paste (BCP; Bai et al., CVPR 2023, section 3.2): annotations and pseudo-labels move with their
    voxels, so that the network sees both in one image and has to find an organ in another scan's surroundings. BCP
    makes two images of four patches; here two patches exchange what is in the box, and no voxel is lost. The weights of
    annotations and pseudo-labels are left to the loss terms. The boxes depend only on the seed and the iteration, so
    that a resumed run draws what the uninterrupted one would have drawn.

    Args:
        keys: Keys of the batch's entries whose boxes are exchanged, each ``[B, channels, H, W, D]``, equal in size.
            If there is an entry ``KEY_classes``, ``[B, C]``, it becomes one for each voxel, ``[B, C, H, W, D]``, and
            moves with these.
        batch_labelled: Number of patches of annotated scans, which come first in a batch. The first of them is paired
            with the first of the others, and so on; patches without a partner stay as they are.
        share: Ratio of a box's side to the patch's, above 0 and below 1; BCP's is 2/3.
        seed: Seed of the boxes' places.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import torch
        >>> batch = {"image": torch.stack([torch.zeros(1, 3, 3, 3), torch.ones(1, 3, 3, 3)])}
        >>> SwapBoxes(["image"], batch_labelled=1)(batch, 0)["image"].sum(dim=(1, 2, 3, 4))
        tensor([ 8., 19.])
    """

    def __init__(self, keys: Sequence[str], *, batch_labelled: int, share: float = 2 / 3, seed: int = 0) -> None:
        if batch_labelled < 0:
            raise ValueError(f"batch_labelled must be 0 or more, got {batch_labelled}.")
        if not 0 < share < 1:
            raise ValueError(f"share must lie between 0 and 1, got {share}.")
        self.keys = list(keys)
        self.batch_labelled = batch_labelled
        self.share = share
        self.seed = seed

    def boxes(self, iteration: int, *, number: int, size: Sequence[int]) -> list[Box]:
        """Draws an iteration's boxes, one for each of `number` pairs, in patches of a size."""
        generator = np.random.default_rng([self.seed, iteration, 0, 3])
        sides = np.maximum(1, np.rint(self.share * np.asarray(size)).astype(int))
        starts = generator.integers(np.asarray(size) - sides + 1, size=(number, len(size)))
        return [tuple(map(slice, start.tolist(), (start + sides).tolist())) for start in starts]

    def __call__(self, batch: Mapping[str, Any], iteration: int) -> dict[str, Any]:
        """Exchanges the boxes of a batch; the tensors given are not written to.

        Args:
            batch: Batch with the patches of annotated scans first.
            iteration: Iteration of the training, at least 0.
        """
        shape = batch[self.keys[0]].shape
        pairs = max(0, min(self.batch_labelled, shape[0] - self.batch_labelled))
        boxes = self.boxes(iteration, number=pairs, size=shape[2:])
        mixed = dict(batch)
        sets = [f"{key}_classes" for key in self.keys if f"{key}_classes" in batch]
        for key in [*self.keys, *sets]:
            given = batch[key]
            if given.ndim == 2:
                given = given[..., None, None, None].expand(*given.shape, *shape[2:])
            mixed[key] = given.clone()
            for first, box in enumerate(boxes):
                here, there = (first, slice(None), *box), (self.batch_labelled + first, slice(None), *box)
                mixed[key][here] = given[there]
                mixed[key][there] = given[here]
        return mixed
