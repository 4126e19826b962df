"""The V-Net of the semi-supervised segmentation literature."""

from __future__ import annotations

import torch
from torch import nn


class VNet(nn.Module):
    """Encoder-decoder with additive skip connections, five levels and 3x3x3 convolutions.

    This is the variant of Milletari et al., 3DV 2016, that the semi-supervised left-atrium benchmarks train (Yu et al.,
    MICCAI 2019; FM-ABS, MICCAI 2024): 9.45 M parameters for 1 -> 2 channels at ``width=16``. It has no residual blocks;
    :class:`monai.networks.nets.VNet` (45.6 M parameters) is another network.

    Args:
        in_channels: Channels of the input.
        out_channels: Number of classes, background included.
        width: Channels of the first level; doubled at each of the four levels below.
        dropout: Probability with which a channel is dropped at the bottleneck and before the last convolution.

    Shapes: ``[B, in_channels, H, W, D]`` to logits ``[B, out_channels, H, W, D]``; H, W and D divisible by 16.

    Raises:
        ValueError: If a spatial size is not divisible by 16.
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 2, width: int = 16, dropout: float = 0.5) -> None:
        super().__init__()
        w1, w2, w3, w4, w5 = (width * 2**level for level in range(5))
        self.encoder1 = _convolutions(in_channels, w1, number=1)
        self.down1 = _down(w1, w2)
        self.encoder2 = _convolutions(w2, w2, number=2)
        self.down2 = _down(w2, w3)
        self.encoder3 = _convolutions(w3, w3, number=3)
        self.down3 = _down(w3, w4)
        self.encoder4 = _convolutions(w4, w4, number=3)
        self.down4 = _down(w4, w5)
        self.bottleneck = _convolutions(w5, w5, number=3)
        self.up4 = _up(w5, w4)
        self.decoder4 = _convolutions(w4, w4, number=3)
        self.up3 = _up(w4, w3)
        self.decoder3 = _convolutions(w3, w3, number=3)
        self.up2 = _up(w3, w2)
        self.decoder2 = _convolutions(w2, w2, number=2)
        self.up1 = _up(w2, w1)
        self.decoder1 = _convolutions(w1, w1, number=1)
        self.dropout = nn.Dropout3d(dropout)
        self.head = nn.Conv3d(w1, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.features(x)))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Input of the last dropout and head: ``[B, in_channels, H, W, D]`` to ``[B, width, H, W, D]``, not negative.

        Raises:
            ValueError: If a spatial size is not divisible by 16.
        """
        height, width, depth = x.shape[2], x.shape[3], x.shape[4]
        if height % 16 != 0 or width % 16 != 0 or depth % 16 != 0:
            raise ValueError(
                f"VNet needs spatial sizes divisible by 16, got {height} x {width} x {depth}; choose such a roi_size."
            )
        x1 = self.encoder1(x)
        x2 = self.encoder2(self.down1(x1))
        x3 = self.encoder3(self.down2(x2))
        x4 = self.encoder4(self.down3(x3))
        x5 = self.dropout(self.bottleneck(self.down4(x4)))
        x = self.decoder4(self.up4(x5) + x4)
        x = self.decoder3(self.up3(x) + x3)
        x = self.decoder2(self.up2(x) + x2)
        return self.decoder1(self.up1(x) + x1)


def _convolutions(in_channels: int, out_channels: int, number: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(number):
        convolution = nn.Conv3d(in_channels if index == 0 else out_channels, out_channels, kernel_size=3, padding=1)
        layers += [convolution, nn.BatchNorm3d(out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _down(in_channels: int, out_channels: int) -> nn.Sequential:
    convolution = nn.Conv3d(in_channels, out_channels, kernel_size=2, stride=2)
    return nn.Sequential(convolution, nn.BatchNorm3d(out_channels), nn.ReLU(inplace=True))


def _up(in_channels: int, out_channels: int) -> nn.Sequential:
    convolution = nn.ConvTranspose3d(in_channels, out_channels, kernel_size=2, stride=2)
    return nn.Sequential(convolution, nn.BatchNorm3d(out_channels), nn.ReLU(inplace=True))
