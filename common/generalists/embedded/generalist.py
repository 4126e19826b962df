"""EmbeddedGeneralist, which segments with the network and the weights that ship with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from common.engines.precision import autocast, best_precision
from common.generalists.embedded.crops import CropFrames, paste
from common.generalists.embedded.prompt_unet import CROP_SIZE, PromptUNet, prompted_crops
from common.generalists.prompts import Prompts
from common.networks.model_files import without_wrapper

WEIGHTS = "prompt_unet.pt"
"""File of the shipped weights in `common/generalists/embedded/data`."""


class EmbeddedGeneralist:
    """A `Generalist` with a small network, PromptUNet, trained on procedurally generated scenes.

    The prompts of all slices pass through the network in batches; crops are cut and pasted back on the device.

    Args:
        device: Device that it runs on.
        weights: File written by `common.generalists.embedded.training`; by default the shipped one.
        batch_size: Number of prompts per pass of the network, which bounds memory.
        precision: `fp32` or `bf16`; by default the fastest that the device computes natively.

    Raises:
        FileNotFoundError: If there is no such weights file.
        ValueError: If the file does not hold the weights of a PromptUNet, or a setting makes no sense.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        weights: str | Path | None = None,
        *,
        batch_size: int = 32,
        precision: str | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.precision = precision or best_precision(self.device)
        autocast(self.device, self.precision)
        self.network = _fold_batch_norm(load_prompt_unet(weights)).to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def segment(self, images: Tensor, prompts: Prompts, spacing: tuple[float, float] = (1.0, 1.0)) -> Tensor:
        """Segments the prompted objects, see `Generalist.segment`; probabilities are 0 far from the box."""
        shape = (images.shape[1], images.shape[2])
        found = images.new_zeros((len(prompts), *shape), dtype=torch.float32)
        for begin in range(0, len(prompts), self.batch_size):
            part = prompts[begin : begin + self.batch_size]
            slices = images[part.slice_index.to(images.device)].to(self.device, torch.float32)
            part = part.to(self.device)
            frames = CropFrames.around(part.boxes, CROP_SIZE, spacing=spacing)
            inputs = prompted_crops(slices, part, frames).contiguous(memory_format=torch.channels_last)
            with autocast(self.device, self.precision):
                logits = self.network(inputs)
            found[begin : begin + self.batch_size] = paste(logits[:, 0].float().sigmoid(), frames, shape)
        return found


def load_prompt_unet(weights: str | Path | None = None) -> PromptUNet:
    """Loads a PromptUNet with the shipped weights or a file's, frozen; errors are those of `EmbeddedGeneralist`."""
    source = resources.files("common.generalists.embedded") / "data" / WEIGHTS if weights is None else Path(weights)
    if not source.is_file():
        raise FileNotFoundError(
            f"weights of the embedded generalist not found at {source}; "
            "`python -m common.generalists.embedded.training --output FILE` makes them"
        )
    network = PromptUNet()
    try:
        with source.open("rb") as file:
            state = torch.load(file, map_location="cpu", weights_only=True)
        counters = {name: value for name, value in network.state_dict().items() if not value.is_floating_point()}
        network.load_state_dict({name: value.float() for name, value in without_wrapper(state).items()} | counters)
    except Exception as error:
        raise ValueError(f"{source} must hold the weights of a PromptUNet, but does not load: {error}") from error
    return network.eval().requires_grad_(False)


def _fold_batch_norm(network: PromptUNet) -> PromptUNet:
    """Merges each batch norm into the convolution before it, which computes the same with less memory traffic."""
    for block in [*network.down, *network.up]:
        for index, layer in enumerate(block):
            if isinstance(layer, nn.BatchNorm2d):
                block[index - 1] = fuse_conv_bn_eval(block[index - 1], layer)
                block[index] = nn.Identity()
    return network
