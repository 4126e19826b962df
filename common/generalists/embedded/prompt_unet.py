"""PromptUNet, the small promptable network of the embedded generalist, and its input."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.generalists.embedded.crops import CropFrames, cut
from common.generalists.prompts import Prompts

CROP_SIZE = 64
"""Side in pixels of the crops that the network sees."""

POINT_SIGMA = 1.5
"""Standard deviation in crop pixels of the Gaussian that marks a point."""


def _convolutions(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class PromptUNet(nn.Module):
    """A 2D U-Net that segments the prompted object in a crop.

    The input `[P, 4, S, S]` holds the normalised image, the box, the positive points and the negative points (see
    `prompted_crops`); the output `[P, 1, S, S]` holds logits of the object's mask.

    Args:
        channels: Number of features at each resolution; S must be divisible by `2 ** (len(channels) - 1)`.
    """

    def __init__(self, channels: Sequence[int] = (16, 32, 64, 128, 128)) -> None:
        super().__init__()
        self.down = nn.ModuleList(_convolutions(a, b) for a, b in pairwise((4, *channels)))
        self.up = nn.ModuleList(_convolutions(a + b, a) for a, b in pairwise(channels))
        self.head = nn.Conv2d(channels[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for up, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            x = up(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        return self.head(x)


def prompted_crops(slices: Tensor, prompts: Prompts, frames: CropFrames) -> Tensor:
    """Makes the network's input from slices and prompts.

    Args:
        slices: Slice of each prompt, `[P, Hs, Ws]`, floating point, on any intensity scale.
        prompts: P prompts.
        frames: Places of the P crops around the prompts' boxes.

    Returns:
        Crops `[P, 4, S, S]` of the image (zero mean and unit variance within the crop, tails clipped, 0 beyond the
        slice's border), the box (1 inside), the positive and the negative points (Gaussians of height 1).
    """
    image, on_slice = cut(slices, frames)
    corners = frames.to_crop(prompts.boxes.view(-1, 2, 2))
    steps = torch.arange(frames.size, device=slices.device, dtype=slices.dtype) + 0.5
    lower, upper = corners[:, 0, :, None], corners[:, 1, :, None]
    box = (torch.minimum(steps - lower, upper - steps) + 0.5).clamp(0, 1)
    points = frames.to_crop(prompts.points + 0.5)
    bells = torch.exp(-0.5 * ((points[..., None] - steps) / POINT_SIGMA).square())
    maps = [_normalise(image, on_slice), box[:, 1, :, None] * box[:, 0, None, :]]
    for label in (1, 0):
        chosen = bells * (prompts.point_labels == label)[..., None, None]
        bell = chosen[:, :, 1, :, None] * chosen[:, :, 0, None, :]
        maps.append(bell.amax(dim=1) if bell.shape[1] else torch.zeros_like(image))
    return torch.stack(maps, dim=1)


def _normalise(image: Tensor, valid: Tensor) -> Tensor:
    """Scales valid pixels to zero mean and unit variance, twice, with outliers clipped at 2.5 deviations first."""
    count = valid.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    for limit in (2.5, 4.0):
        mean = (image * valid).sum(dim=(1, 2), keepdim=True) / count
        variance = ((image - mean).square() * valid).sum(dim=(1, 2), keepdim=True) / count
        image = ((image - mean) / (variance + 1e-12).sqrt()).clamp(-limit, limit)
    return image * valid
