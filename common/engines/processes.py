"""Start and end of a run in several processes, one per GPU, or on the CPU."""

from __future__ import annotations

import os
from datetime import timedelta

import ignite.distributed as idist
import torch
from torch import distributed


def local_device() -> torch.device:
    """The device of this process, which ``torchrun`` has started: a GPU of its own, or the CPU.

    Raises:
        ValueError: If ``torchrun`` has not started this process, or has started more processes than there are GPUs.
    """
    if "LOCAL_RANK" not in os.environ:
        raise ValueError(
            "expected a process that torchrun has started (environment variable LOCAL_RANK), found another; start it "
            "as `torchrun --standalone --nproc_per_node=N -m monai.bundle run …`, or leave out the multi_gpu config."
        )
    if not torch.cuda.is_available():
        return torch.device("cpu")
    rank, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if rank >= gpus:
        raise ValueError(
            f"expected at most as many processes on this machine as it has GPUs, {gpus}, found process {rank + 1}; "
            f"start torchrun with --nproc_per_node={gpus}."
        )
    return torch.device("cuda", rank)


def start_processes(device: torch.device | str, *, timeout_minutes: float) -> int:
    """Joins the processes that ``torchrun`` has started.

    ``torchrun`` ends all of them as soon as one dies.

    Args:
        device: This process's device; GPUs communicate by NCCL, CPUs by Gloo.
        timeout_minutes: Minutes that a process waits for the others before the run ends with an error, above 0. They
            wait for the slowest one at every round and validation.

    Returns:
        This process's rank.

    Raises:
        ValueError: If the timeout is not above 0.
    """
    if not timeout_minutes > 0:
        raise ValueError(f"timeout_minutes must be above 0, got {timeout_minutes}.")
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=timedelta(minutes=timeout_minutes))
    return idist.get_rank()


def end_processes() -> None:
    """Waits for all processes, and leaves them."""
    distributed.barrier()
    distributed.destroy_process_group()
