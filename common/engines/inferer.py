"""Sliding-window inference that averages probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import SlidingWindowInferer
from torch import nn

from common.engines.precision import autocast


class ProbabilityInferer(SlidingWindowInferer):
    """Softmax probabilities of a whole scan: the mean over all windows that cover a voxel.

    The window positions are those of the semi-supervised literature: a fixed stride, with the last window moved back to
    the scan's end. It is fast because of several windows in a batch, channels-last memory and mixed precision.

    Args:
        roi_size: Size of the window, in voxels.
        stride: Distance between neighbouring windows, in voxels; half a window by default.
        sw_batch_size: Windows per forward pass.
        precision: ``fp32``, ``bf16`` or ``fp16``.

    Shapes: ``[B, channels, H, W, D]`` to float32 ``[B, C, H, W, D]``; scans smaller than the window are padded and
    the result is cropped back.

    Raises:
        ValueError: If a stride does not lie in ``1..roi_size``.
    """

    def __init__(
        self,
        roi_size: Sequence[int],
        stride: Sequence[int] | None = None,
        sw_batch_size: int = 4,
        precision: str = "fp32",
        **kwargs: Any,
    ) -> None:
        stride = [max(size // 2, 1) for size in roi_size] if stride is None else stride
        if len(stride) != len(roi_size) or any(not 1 <= s <= size for s, size in zip(stride, roi_size, strict=True)):
            raise ValueError(
                f"stride must lie in 1..roi_size = {list(roi_size)} in each dimension, got {list(stride)}."
            )
        # MONAI truncates roi * (1 - overlap) to an integer; half a voxel more keeps rounding from losing one.
        overlap = [1 - (s + 0.5) / size if s < size else 0.0 for s, size in zip(stride, roi_size, strict=True)]
        super().__init__(roi_size=roi_size, overlap=overlap, sw_batch_size=sw_batch_size, **kwargs)
        self.precision = precision

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        def probabilities(windows: torch.Tensor, *inner: Any, **named: Any) -> torch.Tensor:
            windows = windows.contiguous(memory_format=torch.channels_last_3d)
            with autocast(windows.device, self.precision):
                logits = network(windows, *inner, **named)
            return logits.float().softmax(dim=1)

        with torch.no_grad():
            averaged = super().__call__(inputs, probabilities, *args, **kwargs)
        if not isinstance(averaged, torch.Tensor):
            raise ValueError(f"the network must give one tensor of logits, got {type(averaged).__name__}.")
        return averaged

    def with_features(self, inputs: torch.Tensor, network: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities and the network's last features in one pass, both averaged over the windows.

        Args:
            inputs: Images ``[B, channels, H, W, D]``.
            network: Network in evaluation mode whose logits are ``network.head(network.features(windows))``, as those
                of ``VNet`` are.

        Returns:
            The probabilities that a call gives, float32 ``[B, C, H, W, D]``, and the features, float32
            ``[B, F, H, W, D]``.

        Raises:
            ValueError: If the network has no ``features`` or ``head``, or the inferer buffers its windows.
        """
        features, head = (getattr(network, name, None) for name in ("features", "head"))
        if not (callable(features) and callable(head)):
            raise ValueError(
                "network must have features (windows to features) and head (features to logits), as "
                f"common.networks.VNet has, but {type(network).__name__} lacks one of them."
            )
        if self.buffer_steps:
            raise ValueError(f"buffer_steps must be None to get features, got {self.buffer_steps}.")

        def both(windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            windows = windows.contiguous(memory_format=torch.channels_last_3d)
            with autocast(windows.device, self.precision):
                found = features(windows)
                logits = head(found)
            return logits.float().softmax(dim=1), found.float()

        with torch.no_grad():
            averaged = super().__call__(inputs, both)
        return averaged[0], averaged[1]
