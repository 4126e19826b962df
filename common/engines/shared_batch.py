"""One batch for all processes of a run: each of them holds its part, and all of them learn from the whole.

With several processes, the batch is what one process alone would have: every process loads and predicts an equal part
of it, the parts are gathered in the order of the ranks, and every process computes the loss of the whole. This keeps
losses exact that are not a mean over scans, such as Dice over a batch or a mean over the annotated voxels. Without
``torch.distributed`` all functions return what they are given.
"""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor, distributed


def own_part(batch: Tensor) -> Tensor:
    """This process's part of a batch ``[B, …]``: ``[B / processes, …]``.

    Raises:
        ValueError: If the processes cannot share the batch out equally.
    """
    processes = idist.get_world_size()
    if len(batch) % processes:
        raise ValueError(
            f"{processes} processes need a number of patches that they can share out equally, got {len(batch)}; "
            "change batch_labelled and batch_unlabelled, or the number of processes."
        )
    return batch.chunk(processes)[idist.get_rank()] if processes > 1 else batch


def whole(part: Tensor) -> Tensor:
    """The batch ``[B, …]`` of which each process has a part ``[B / processes, …]``.

    Gradients reach this process's part alone, multiplied by the number of processes: where every process computes the
    same loss of the whole, and ``DistributedDataParallel`` averages over the processes, the result is the gradient of
    that loss.
    """
    return part if idist.get_world_size() == 1 else _Whole.apply(part)


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, part: Tensor) -> Tensor:
        part = part.contiguous()
        parts = [torch.empty_like(part) for _ in range(idist.get_world_size())]
        distributed.all_gather(parts, part)
        return torch.cat(parts)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return own_part(gradients[0]) * idist.get_world_size()
