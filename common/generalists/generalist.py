"""What a promptable 2D model must do to label volumes here."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from common.generalists.prompts import Prompts


@runtime_checkable
class Generalist(Protocol):
    """A frozen promptable 2D model."""

    def segment(self, images: Tensor, prompts: Prompts, spacing: tuple[float, float]) -> Tensor:
        """Segments the prompted objects.

        Args:
            images: slices `[S, Hs, Ws]` float, any intensity scale.
            prompts: P prompts on these slices.
            spacing: (row, column) size of a pixel in millimetres.

        Returns:
            Probability of each object, `[P, Hs, Ws]` float in 0..1, on the device of `images`.
        """
        ...
