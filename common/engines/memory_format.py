"""The order in which a network's weights lie in memory."""

from __future__ import annotations

import torch
from torch import nn


def channels_last(network: nn.Module) -> nn.Module:
    """Stores the weights of 3D convolutions in the memory format in which they are fastest, and no other weights.

    ``DistributedDataParallel`` gathers gradients in the format that weights have when it is made: a change after that
    would give each weight another one's gradient.

    Args:
        network: The network, which is changed.

    Returns:
        The same network.
    """
    for weights in network.parameters():
        if weights.ndim == 5:
            weights.data = weights.data.contiguous(memory_format=torch.channels_last_3d)
    return network
