"""Sliding-window inference that also gives a network's deepest features, for any network."""

from __future__ import annotations

import copy
import difflib
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from monai.inferers import SlidingWindowInferer
from torch import Tensor, nn

from common.engines.inferer import ProbabilityInferer
from common.engines.precision import autocast


class BottleneckInferer(ProbabilityInferer):
    """A :class:`ProbabilityInferer` whose features are those of one layer, by default the deepest.

    Args:
        roi_size: See :class:`ProbabilityInferer`, like the next three.
        stride: Step of the window in voxels.
        sw_batch_size: Windows per forward pass.
        precision: Number format of the network.
        feature_layer: Name of the layer as in ``network.named_modules()``; None for :func:`deepest_layer`.
    """

    def __init__(
        self,
        roi_size: Sequence[int],
        stride: Sequence[int] | None = None,
        sw_batch_size: int = 4,
        precision: str = "fp32",
        feature_layer: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(roi_size, stride, sw_batch_size, precision, **kwargs)
        self.window = [int(size) for size in roi_size]
        given = self.overlap
        self.overlaps = [float(share) for share in ([given] * 3 if isinstance(given, float) else given)]
        self.feature_layer = feature_layer
        self._deepest: str | None = None

    def with_features(self, inputs: Tensor, network: nn.Module) -> tuple[Tensor, Tensor]:
        """Probabilities and the layer's features in one pass.

        The features lie on a grid with the layer's own, coarser resolution. Each window's features are put at the
        nearest place of this grid, and averaged where windows overlap.

        Args:
            inputs: Images ``[B, channels, H, W, D]``.
            network: Network in evaluation mode that gives logits.

        Returns:
            The probabilities that a call gives, float32 ``[B, C, H, W, D]``, and the features of the same field of
            view, float32 ``[B, F, h, w, d]``.

        Raises:
            ValueError: If the network has no such layer, or the layer does not give ``[B, F, h, w, d]`` once per pass.
        """
        window = self.window
        sizes = [max(roi, size) for roi, size in zip(window, inputs.shape[2:], strict=True)]
        before = [(padded - size) // 2 for padded, size in zip(sizes, inputs.shape[2:], strict=True)]
        if self.feature_layer is None and self._deepest is None:
            self._deepest = deepest_layer(network, inputs.new_zeros((1, inputs.shape[1], *window)))
        name = self.feature_layer or self._deepest or ""
        layer = named_layer(network, name)
        outputs: list[Tensor] = []
        total: Tensor | None = None
        count: Tensor | None = None

        def predict(windows: Tensor, places: Sequence[Sequence[slice]]) -> Tensor:
            nonlocal total, count
            outputs.clear()
            with autocast(windows.device, self.precision):
                logits = network(windows.contiguous(memory_format=torch.channels_last_3d))
            if len(outputs) != 1 or not isinstance(outputs[0], Tensor) or outputs[0].ndim != 5:
                raise ValueError(
                    f"feature_layer {name} must give [B, F, h, w, d] once per pass, "
                    f"got {[tuple(getattr(output, 'shape', ())) for output in outputs]}."
                )
            found = outputs[0].float()
            cells = found.shape[2:]
            scales = [roi / cell for roi, cell in zip(window, cells, strict=True)]
            if total is None or count is None:
                grid = [max(round(size / scale), cell) for size, scale, cell in zip(sizes, scales, cells, strict=True)]
                total = found.new_zeros((inputs.shape[0], found.shape[1], *grid))
                count = found.new_zeros((inputs.shape[0], 1, *grid))
            for features, place in zip(found, places, strict=True):
                at = []
                for axis, (scale, cell) in enumerate(zip(scales, cells, strict=True)):
                    first = min(round((place[2 + axis].start or 0) / scale), total.shape[2 + axis] - cell)
                    at.append(slice(first, first + cell))
                scan = place[0].start or 0
                total[scan, :, at[0], at[1], at[2]] += features
                count[scan, :, at[0], at[1], at[2]] += 1
            return logits.float().softmax(dim=1)

        placed = copy.copy(self)
        placed.with_coord = True
        handle = layer.register_forward_hook(lambda *called: outputs.append(called[-1]))
        try:
            with torch.no_grad():
                probabilities = SlidingWindowInferer.__call__(placed, inputs, predict)
        finally:
            handle.remove()
        if not isinstance(probabilities, Tensor) or total is None or count is None:
            raise ValueError(f"the network must give one tensor of logits, got {type(probabilities).__name__}.")
        features = total / count.clamp(min=1)
        for axis, (low, size) in enumerate(zip(before, inputs.shape[2:], strict=True)):
            scale = sizes[axis] / features.shape[2 + axis]
            cells = max(1, min(round(size / scale), features.shape[2 + axis]))
            features = features.narrow(2 + axis, min(round(low / scale), features.shape[2 + axis] - cells), cells)
        return probabilities, features


def named_layer(network: nn.Module, name: str) -> nn.Module:
    """Looks up a network's layer by its name.

    Raises:
        ValueError: If there is none; the message names similar ones.
    """
    layers = dict(network.named_modules())
    if name not in layers:
        near = difflib.get_close_matches(name, layers, n=3) or [child for child, _ in network.named_children()]
        raise ValueError(
            f"feature_layer must be a layer of {type(network).__name__}, e.g. {', '.join(near)}; got {name!r}."
        )
    return layers[name]


@torch.no_grad()
def deepest_layer(network: nn.Module, window: Tensor) -> str:
    """Name of the layer whose output is coarsest: the last of those with the fewest voxels, but more than one.

    Layers that run more than once per pass, and the network itself, do not count.

    Args:
        network: Network in evaluation mode.
        window: Images to try it on, ``[1, channels, h, w, d]``.

    Raises:
        ValueError: If no layer gives ``[1, F, h, w, d]``.
    """
    found: list[tuple[str, int]] = []

    def note(name: str, *called: Any) -> None:
        found.append((name, _voxels(called[-1])))

    handles = [layer.register_forward_hook(partial(note, name)) for name, layer in network.named_modules() if name]
    try:
        network(window)
    finally:
        for handle in handles:
            handle.remove()
    calls = Counter(name for name, _ in found)
    once = [(name, voxels) for name, voxels in found if calls[name] == 1 and voxels > 0]
    several = [(name, voxels) for name, voxels in once if voxels > 1] or once
    if not several:
        raise ValueError(f"expected a layer of {type(network).__name__} that gives [1, F, h, w, d], found none.")
    fewest = min(voxels for _, voxels in several)
    return [name for name, voxels in several if voxels == fewest][-1]


def _voxels(output: Any) -> int:
    return output[0, 0].numel() if isinstance(output, Tensor) and output.ndim == 5 and output.numel() else 0
