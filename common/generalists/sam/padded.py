"""Encodes images whose right and lower part is padding, without computing what the padding alone decides."""

from __future__ import annotations

import torch
from torch import Tensor

from common.generalists.sam.tiny_vit import Step, TinyViT


class PaddedEncoder:
    """A TinyViT for images that are zero below and to the right of what they show.

    A scan's slice is seldom square, so that up to half of the encoder's input is padding. How far the rest reaches
    grows step by step: by a pixel with each convolution, and to the end of the windows that it touches with each
    attention. Beyond that a step's output is that of an empty image, which is computed once and kept: some 120 MB
    for LiteMedSAM. The embedding differs from the encoder's own by rounding alone.

    Args:
        encoder: Encoder in evaluation mode, whose weights do not change any more.
    """

    def __init__(self, encoder: TinyViT) -> None:
        self.encoder = encoder
        self._steps = list(encoder.steps())
        self._kept: dict[tuple[object, ...], list[Tensor]] = {}

    @torch.no_grad()
    def __call__(self, images: Tensor, covered: tuple[int, int]) -> Tensor:
        """Encodes images.

        Args:
            images: Images `[B, C, H, W]`, zero from the row `covered[0]` and the column `covered[1]` on.
            covered: Numbers of rows and columns that the images show something in.

        Returns:
            The encoder's output for these images.
        """
        x = images.contiguous(memory_format=torch.channels_last)
        reached = covered
        for number, step in enumerate(self._steps):
            reached = step.reached(reached[0]), step.reached(reached[1])
            size = step.size(x.shape[2]), step.size(x.shape[3])
            if reached[0] >= size[0] and reached[1] >= size[1]:
                x = step.run(x)
            else:
                x = _partly(step, x, reached, self._empty(images, number))
        return self.encoder.neck(x)

    def _empty(self, images: Tensor, number: int) -> Tensor:
        """Output `[1, D, H', W']` of the numbered step for an empty image of this size, type and device."""
        precision = torch.is_autocast_enabled(images.device.type) and torch.get_autocast_dtype(images.device.type)
        outputs = self._kept.setdefault((images.shape[1:], images.dtype, images.device, precision), [])
        while len(outputs) <= number:
            blank = (
                outputs[-1] if outputs else torch.zeros_like(images[:1]).contiguous(memory_format=torch.channels_last)
            )
            outputs.append(self._steps[len(outputs)].run(blank))
        return outputs[number]


def _partly(step: Step, x: Tensor, reached: tuple[int, int], empty: Tensor) -> Tensor:
    """A step's output, computed for the first rows and columns alone and taken from that of an empty image beyond."""
    rows, columns = reached
    found = step.run(x[:, :, : step.needed(rows), : step.needed(columns)])
    output = empty.expand(len(x), -1, -1, -1).clone(memory_format=torch.channels_last)
    output[:, :, :rows, :columns] = found[:, :, :rows, :columns]
    return output
