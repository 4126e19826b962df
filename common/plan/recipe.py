"""What a plan has to know of the bundle that it is for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.plan.memory import SWIN_UNETR, VNET, Network

NETWORKS = {"common.networks.VNet": VNET, "SwinUNETR": SWIN_UNETR}
"""Networks whose memory is known, by the targets of the configs."""

ANNOTATED_SLICES = "prompted_views"
"""Setting of the bundles that learn from annotated slices and fill them up by a generalist."""


@dataclass(frozen=True)
class Recipe:
    """A bundle's training as it is without a plan.

    Attributes:
        bundle: The bundle's name.
        config: Its ``train.json``.
    """

    bundle: str
    config: Mapping[str, Any]

    @property
    def network(self) -> Network | None:
        """The network, if its memory is known."""
        return NETWORKS.get(self.config["network_def"]["_target_"])

    @property
    def divisor(self) -> int:
        """Number that each side of a patch must be divisible by."""
        return 16 if self.network is None else self.network.divisor

    @property
    def patch_voxels(self) -> int:
        """Voxels of the bundle's own patch, which a plan does not exceed."""
        return math.prod(self.config["roi_size"])

    @property
    def annotation(self) -> str:
        """What the bundle learns from by default: ``slices`` or ``dense`` labels."""
        return "slices" if self.knows(ANNOTATED_SLICES) else "dense"

    def knows(self, setting: str) -> bool:
        """Whether the bundle has a setting of this id."""
        return setting.split("#")[0] in self.config

    def batch(self) -> tuple[int, int]:
        """Patches per batch of annotated scans and of others; 2 and 0 where the config computes them."""
        labelled, unlabelled = (self.config.get(name) for name in ("batch_labelled", "batch_unlabelled"))
        return (
            labelled if isinstance(labelled, int) else 2,
            unlabelled if isinstance(unlabelled, int) else 0,
        )
