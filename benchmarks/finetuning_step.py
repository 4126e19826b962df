"""Compares a step of fine-tuning ASSFT's Swin UNETR in bf16 with the same step in float32.

    python benchmarks/finetuning_step.py --image SCAN --label LABEL --weights PRETRAINED

Both take turns on the same patches. Prints the seconds per step of each, the median of their ratio, and the distance
between the gradients in bf16 and in float32, relative to the length of the latter.
"""

from __future__ import annotations

import statistics
import time

import fire
import torch
from monai.networks.nets import SwinUNETR
from monai.transforms import Compose, LoadImaged, NormalizeIntensityd, RandCropByPosNegLabeld
from torch import Tensor

from common.engines import autocast
from common.losses import PartialDiceCELoss
from common.networks import load_pretrained


def main(
    image: str,
    label: str,
    weights: str,
    roi_size: tuple[int, int, int] = (64, 64, 32),
    batch: int = 4,
    repeats: int = 5,
    threads: int = 1,
) -> None:
    """Times the step in both precisions and compares the gradients.

    Args:
        image: File of a scan.
        label: File of the scan's label.
        weights: File of the weights of a Swin UNETR that the bundle pre-trained.
        roi_size: Size in voxels of the patches, which are cut around the object.
        batch: Number of patches per step.
        repeats: Number of steps in each precision.
        threads: Number of CPU threads.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = SwinUNETR(in_channels=1, out_channels=2, window_size=4, feature_size=12)
    load_pretrained(network, weights)
    network.to(memory_format=torch.channels_last_3d)
    images, labels = _patches(image, label, roi_size, batch)
    seconds: dict[str, list[float]] = {"fp32": [], "bf16": []}
    gradients = {}
    for _ in range(repeats):
        for precision, times in seconds.items():
            start = time.perf_counter()
            gradients[precision] = _gradient(network, images, labels, precision)
            times.append(time.perf_counter() - start)
    ratio = statistics.median(slow / fast for slow, fast in zip(*seconds.values(), strict=True))
    apart = (gradients["bf16"] - gradients["fp32"]).norm() / gradients["fp32"].norm()
    for precision, times in seconds.items():
        print(f"{precision}      {statistics.median(times):.3f} s per step")
    print(f"ratio     {ratio:.2f}")
    print(f"gradients {100 * apart:.1f} % apart")


def _patches(image: str, label: str, roi_size: tuple[int, int, int], number: int) -> tuple[Tensor, Tensor]:
    cut = RandCropByPosNegLabeld(["image", "label"], "label", roi_size, pos=1, neg=0, num_samples=number)
    load = LoadImaged(["image", "label"], ensure_channel_first=True)
    cutting = Compose([load, NormalizeIntensityd("image"), cut]).set_random_state(0)
    patches = cutting({"image": image, "label": label})
    images = torch.stack([patch["image"].as_tensor() for patch in patches]).float()
    return images, torch.stack([patch["label"].as_tensor() for patch in patches]).to(torch.uint8)


def _gradient(network: torch.nn.Module, images: Tensor, labels: Tensor, precision: str) -> Tensor:
    network.zero_grad()
    with autocast("cpu", precision):
        logits = network(images.contiguous(memory_format=torch.channels_last_3d))
    PartialDiceCELoss()(logits.float(), labels).backward()
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None])


if __name__ == "__main__":
    fire.Fire(main)
