"""Counts what the networks of the papers' settings compute and keep, from which times on a GPU can be estimated.

    python benchmarks/operations.py

Nothing is timed. Operations of a forward pass are counted as PyTorch's ``FlopCounterMode`` does, a multiplication and
an addition as two. What a forward pass keeps for the backward pass is the size of the tensors that autograd saves, in
float32, without the weights. Where the network allows it, both run without computing anything (device ``meta``).
"""

from __future__ import annotations

from collections.abc import Callable

import fire
import torch
from monai.networks.nets import SwinUNETR
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from common.generalists.sam.models import KINDS
from common.networks import VNet

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "V-Net, left atrium": (lambda: VNet(in_channels=1, out_channels=2), (1, 112, 112, 80), "meta"),
    "V-Net, brain tumour": (lambda: VNet(in_channels=1, out_channels=2), (1, 96, 96, 96), "meta"),
    "SAM ViT-B, encoder": (lambda: KINDS["sam_vit_b"].build().image_encoder, (3, 1024, 1024), "meta"),
    "MobileSAM, encoder": (lambda: KINDS["mobile_sam"].build().image_encoder, (3, 1024, 1024), "cpu"),
    "LiteMedSAM, encoder": (lambda: KINDS["lite_medsam"].build().image_encoder, (3, 256, 256), "cpu"),
    "Swin UNETR of `assft_adapt`": (
        lambda: SwinUNETR(in_channels=1, out_channels=2, window_size=4, feature_size=12), (1, 64, 64, 32), "cpu"
    ),
}  # fmt: skip
"""How each is made, the size of its input, and the device on which it is looked at."""


def operations(network: nn.Module, inputs: Tensor) -> float:
    """Operations of a forward pass, in 10^9; with gradients, as layers are fused without them, which is not counted."""
    with FlopCounterMode(display=False) as counter:
        network(inputs)
    return counter.get_total_flops() / 1e9


def kept(network: nn.Module, inputs: Tensor) -> float:
    """What a forward pass keeps for the backward pass, in 10^9 bytes; each tensor counts once, weights do not."""
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    sizes: dict[int, int] = {}
    alive: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        alive.append(tensor)
        sizes[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(inputs)
    del output
    return sum(size for storage, size in sizes.items() if storage not in weights) / 1e9


def main() -> None:
    """Prints a table."""
    print("| network | input | weights [10^6] | forward pass [10^9 operations] | kept for the backward pass [GB] |")
    print("|---|---|---|---|---|")
    for name, (make, size, device) in NETWORKS.items():
        with torch.device(device):
            network, inputs = make().train(), torch.randn(1, *size)
        weights = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        sides = "×".join(map(str, size))
        numbers = f"{weights:.1f} | {operations(network, inputs):,.0f} | {kept(network, inputs):.2f}"
        print(f"| {name} | {sides} | {numbers} |", flush=True)


if __name__ == "__main__":
    fire.Fire(main)
