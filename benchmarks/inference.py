"""Compares sliding-window inference with the float32 loop, window by window, of published research code.

    python benchmarks/inference.py --image SCAN.nii.gz --checkpoint model.pt

Windows of 112x112x80 voxels move by 18x18x4. Without ``--image``, the volume has the size of a left-atrium scan and
random intensities; without ``--checkpoint``, the weights are random. The plain loop takes long: ``--share 0.1`` runs
both on a smaller part of the scan, one window and a tenth of what is beyond it.
"""

from __future__ import annotations

import math
import time

import fire
import nibabel as nib
import numpy as np
import torch

from common.engines import ProbabilityInferer, best_precision
from common.networks import VNet, load_pretrained


def main(
    image: str | None = None,
    checkpoint: str | None = None,
    width: int = 16,
    roi_size: tuple[int, int, int] = (112, 112, 80),
    stride: tuple[int, int, int] = (18, 18, 4),
    share: float = 1.0,
    batch: int = 2,
    threads: int = 1,
    device: str = "cpu",
) -> None:
    """Times both ways and compares their labels.

    Args:
        image: File of a NIfTI scan.
        checkpoint: File of the weights of a V-Net with two classes.
        width: Width of that V-Net, as :class:`common.networks.VNet` takes it.
        roi_size: Size of the windows in voxels.
        stride: Distance between neighbouring windows in voxels.
        share: Share of the window positions along each axis that are run, to shorten the measurement.
        batch: Windows per forward pass of this project's inferer; the plain loop has one.
        threads: Number of CPU threads.
        device: Device to run on.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    volume = torch.randn(1, 1, 183, 140, 88) if image is None else _read(image)
    size = [min(n, r + math.ceil(share * max(n - r, 0))) for n, r in zip(volume.shape[2:], roi_size, strict=True)]
    volume = volume[:, :, : size[0], : size[1], : size[2]].to(device)
    network = VNet(1, 2, width=width).to(device).eval()
    if checkpoint:
        load_pretrained(network, checkpoint)

    start = time.perf_counter()
    plain = window_by_window(volume, network, roi_size, stride)
    plain_seconds = time.perf_counter() - start

    fast = network.to(memory_format=torch.channels_last_3d)
    inferer = ProbabilityInferer(roi_size, stride, sw_batch_size=batch, precision=best_precision(device))
    start = time.perf_counter()
    ours = inferer(volume, fast)
    seconds = time.perf_counter() - start

    same = (plain.argmax(1) == ours.argmax(1)).float().mean().item()
    print(f"scan {tuple(volume.shape[2:])}, {inferer.precision}, {threads} thread(s)")
    print(f"window by window, float32  {plain_seconds:8.2f} s")
    print(f"ProbabilityInferer         {seconds:8.2f} s")
    print(f"ratio                      {plain_seconds / seconds:8.2f}")
    print(f"same label                 {100 * same:8.3f} % of voxels")
    print(f"foreground                 {100 * plain.argmax(1).float().mean().item():8.3f} % of voxels")


def _read(path: str) -> torch.Tensor:
    data = np.asarray(nib.load(path).dataobj, dtype=np.float32)
    return torch.from_numpy((data - data.mean()) / data.std())[None, None]


@torch.no_grad()
def window_by_window(
    volume: torch.Tensor, network: torch.nn.Module, size: tuple[int, ...], stride: tuple[int, ...]
) -> torch.Tensor:
    """The reference: averages the probabilities of the windows, one window at a time in float32."""
    shape = volume.shape[2:]
    padding = [max(w - n, 0) for n, w in zip(shape, size, strict=True)]
    volume = torch.nn.functional.pad(volume, [0, padding[2], 0, padding[1], 0, padding[0]])
    grown = volume.shape[2:]
    steps = [math.ceil((n - w) / s) + 1 for n, w, s in zip(grown, size, stride, strict=True)]
    total, count = torch.zeros(1, 2, *grown, device=volume.device), torch.zeros(grown, device=volume.device)
    for position in np.ndindex(*steps):
        start = [min(s * p, n - w) for s, p, n, w in zip(stride, position, grown, size, strict=True)]
        at = tuple(slice(a, a + w) for a, w in zip(start, size, strict=True))
        total[(..., *at)] += network(volume[(..., *at)].contiguous()).softmax(1)
        count[at] += 1
    return (total / count)[..., : shape[0], : shape[1], : shape[2]]


if __name__ == "__main__":
    fire.Fire(main)
