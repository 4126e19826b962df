"""The loop over whole scans that queries and pseudo-labels share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import ignite.distributed as idist
import torch
from monai.data import Dataset, MetaTensor
from torch import nn
from tqdm import tqdm


def each_scan(
    dataset: Dataset,
    network: nn.Module,
    device: torch.device | str,
    *,
    what: str,
    scans: Sequence[str] | None = None,
    share: bool = False,
    progress: bool = True,
) -> Iterator[tuple[str, MetaTensor]]:
    """Goes through a dataset scan by scan, with one image in memory at a time.

    Args:
        dataset: Its ``data`` holds each scan's id as ``scan``; by position it gives items with the scan's ``image``.
        network: The network that will see the images; it is set to evaluation mode.
        device: Device that the images are moved to.
        what: Text before the progress bar.
        scans: Ids of the scans, in the order in which they are visited; those that the dataset lacks are left out. All
            scans of the dataset by default.
        share: Whether the processes share the scans out, and wait for each other at the end. By default every process
            visits all of them.
        progress: Whether to show a progress bar.

    Yields:
        Each scan's id, and its image ``[channels, H, W, D]`` on the device.
    """
    network.eval()
    positions = {item["scan"]: position for position, item in enumerate(dataset.data)}
    wanted = list(positions) if scans is None else [scan for scan in scans if scan in positions]
    if share:
        wanted = wanted[idist.get_rank() :: idist.get_world_size()]
    for scan in tqdm(wanted, desc=what, unit="scan", disable=not progress):
        yield scan, dataset[positions[scan]]["image"].to(device)
    if share:
        idist.barrier()
