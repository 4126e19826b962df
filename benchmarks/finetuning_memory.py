"""Measures the memory of a step of fine-tuning SAM on stitched slices with batch size 1.

    python benchmarks/finetuning_memory.py [--device cuda] [--save_memory false]

On a GPU this is the peak that torch reports; on the CPU it is estimated by the growth of the process.
"""

from __future__ import annotations

import resource

import fire
import torch

from common.engines import autocast, best_precision
from common.generalists.sam import StitchedSam, add_lora
from common.generalists.sam.models import KINDS
from common.losses import PartialDiceCELoss


def main(device: str = "cpu", sam: str = "sam_vit_b", save_memory: bool = True, precision: str | None = None) -> None:
    """Prints the peak memory in gigabytes.

    Args:
        device: Device to train on.
        sam: Kind of SAM; its weights are random.
        save_memory: Whether to save memory, as the bundle's setting of that name does.
        precision: ``fp32``, ``bf16`` or ``fp16``; by default the best one for the device.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    precision = precision or best_precision(device)
    image, label = torch.randn(1, 1, 112, 112, 80), torch.randint(0, 2, (1, 1, 112, 112, 80))
    before = _peak(device)
    network = StitchedSam(add_lora(KINDS[sam].build()), save_memory=save_memory).to(device).train()
    optimizer = torch.optim.AdamW([weights for weights in network.parameters() if weights.requires_grad], lr=0.001)
    for _ in range(2):
        with autocast(device, precision):
            logits = network(image.to(device))
        PartialDiceCELoss()(logits, label.to(device)).backward()
        optimizer.step()
        optimizer.zero_grad()
    print(f"{sam}, 112x112x80 in 1024 pixels, batch 1, {precision}, save_memory {save_memory}, {device}:")
    print(f"{_peak(device) - before:.1f} GB at most, weights and optimiser included")


def _peak(device: str) -> float:
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    fire.Fire(main)
