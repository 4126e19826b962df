"""The interface of a generalist: what a promptable 2D model must offer to label volumes."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from common.generalists.prompts import Prompts


@runtime_checkable
class Generalist(Protocol):
    """A frozen 2D model that segments the objects it is pointed to by prompts."""

    def segment(self, images: Tensor, prompts: Prompts, spacing: tuple[float, float]) -> Tensor:
        """Segments the prompted objects.

        Args:
            images: Slices `[S, Hs, Ws]`, floating point, on any intensity scale.
            prompts: P prompts, each for one object on one of these slices.
            spacing: (row, column) size of a pixel in millimetres.

        Returns:
            Probability of each object, `[P, Hs, Ws]`, floating point in 0..1, on the device of `images`.
        """
        ...
