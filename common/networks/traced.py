"""Networks as TorchScript where a trace has to stand for the code: a trace holds for inputs of one size."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets.swin_unetr import SwinUNETR
from torch import Tensor, nn


def refuse_other_sizes(x: Tensor) -> Tensor:
    """Makes the trace of a network refuse inputs of other sizes than the one that it was traced with.

    A trace keeps what the code worked out from the sizes of its input. For another size its result may be wrong, and
    nothing says so. Networks that work out something call this first.

    Args:
        x: Input ``[B, …]``; the size of a batch is free.

    Returns:
        The input as it is. In a trace this step raises an error where the size differs.
    """
    if torch.jit.is_tracing() and not torch.onnx.is_in_onnx_export():
        same: Tensor = _same_size(x, [int(size) for size in x.shape[1:]])
        return same
    return x


class ScriptableSwinUNETR(SwinUNETR):
    """MONAI's Swin UNETR in a form that `torch.jit.script` accepts, for inputs of one size.

    MONAI's own cannot be compiled: its code uses a function of PyTorch that TorchScript does not know. What is
    compiled here is a trace, which refuses other sizes. The Python network itself takes all sizes, as MONAI's does, and
    the weights are the same.

    Args:
        roi_size: Size (H, W, D) in voxels of the input for which the network is compiled.
        settings: Arguments of MONAI's Swin UNETR.
    """

    def __init__(self, *, roi_size: Sequence[int], **settings: Any) -> None:
        super().__init__(**settings)
        self.example = (settings["in_channels"], *roi_size)

    def forward(self, x_in: Tensor) -> Tensor:
        logits: Tensor = super().forward(refuse_other_sizes(x_in))
        return logits

    def __prepare_scriptable__(self) -> nn.Module:
        return Traced(self, torch.zeros(1, *self.example))


class Traced(nn.Module):
    """A trace of a network, as a part that `torch.jit.script` accepts.

    Args:
        network: Network to trace, in evaluation mode.
        example: Input to trace it with; its device is the network's.
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        super().__init__()
        device = next(network.parameters()).device
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # that it holds for one size alone
            self.trace = torch.jit.trace(network.eval(), example.to(device), check_trace=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.trace(x)
        return result


@torch.jit.script
def _same_size(x: Tensor, size: list[int]) -> Tensor:
    if list(x.shape[1:]) != size:
        raise ValueError(f"expected an input of size {size} after the batch, for which the network was traced.")
    return x
