"""How much memory a training step takes, by the network, the patch and the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """What a network of the bundles needs.

    Attributes:
        name: Its name, for the reasons.
        divisor: Number that each side of a patch must be divisible by.
        width: Channels of its first level; a V-Net's can be chosen, the others' is fixed.
        activations: Numbers that training keeps per voxel of a patch and unit of width.
        parameters: Number of weights per squared unit of width.
        widths: Widths that may be chosen, best first; empty if it is fixed.
        setting: Id of the setting that has the width.
        dropout: Id of the setting that has the dropout, if the network's width can be chosen.
    """

    name: str
    divisor: int
    width: int
    activations: float
    parameters: float
    widths: tuple[int, ...] = ()
    setting: str = ""
    dropout: str = ""


VNET = Network("V-Net", 16, 16, 12.7, 36_950, (16, 8, 4), "network_def#width", "network_def#dropout")
SWIN_UNETR = Network("Swin UNETR", 32, 12, 25.7, 27_160)
"""The numbers of both were counted: what PyTorch keeps for the backward pass of one patch."""

IN_FLIGHT = 3.3
"""Numbers per voxel and unit of width that gradients and the convolutions' workspace take at the same time."""

COPIES = 4
"""Times that each weight is kept: the network's, its gradient's, the optimiser's and the teacher's."""

LOSSES = 4
"""Numbers per voxel and class: logits, probabilities, their gradient, and the teacher's."""

NUMBER = 4
"""Bytes of a number in float32; half precision takes less."""


def training_bytes(
    network: Network, *, patch: Sequence[int], batch: int, width: int, channels: int, classes: int
) -> int:
    """Bytes that a training step takes in float32.

    Args:
        network: The network.
        patch: Size of a patch in voxels.
        batch: Number of patches.
        width: Channels of the network's first level.
        channels: Channels of the images.
        classes: Classes with the background.
    """
    per_voxel = (network.activations + IN_FLIGHT) * width + channels + LOSSES * classes
    return int(NUMBER * (math.prod(patch) * batch * per_voxel + COPIES * network.parameters * width**2))


def scan_bytes(size: Sequence[float], *, channels: int, classes: int) -> int:
    """Bytes that a whole scan and its class probabilities take, as sliding windows fill them.

    Args:
        size: Size of the largest scan in voxels.
        channels: Channels of the images.
        classes: Classes with the background.
    """
    return int(NUMBER * math.prod(size) * (channels + classes + 1))
