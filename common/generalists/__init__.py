"""Promptable 2D models (generalists), their prompts, and the labelling of volumes in three views."""

from common.generalists.embedded import EmbeddedGeneralist
from common.generalists.fusion import FUSIONS, fusion, majority_vote, mean, unanimous
from common.generalists.generalist import Generalist
from common.generalists.multi_view import MultiViewLabeler
from common.generalists.prompt_unet import PromptUNet
from common.generalists.prompts import Prompts, prompts_from_masks
from common.generalists.propagate import Propagation

__all__ = [
    "FUSIONS",
    "EmbeddedGeneralist",
    "Generalist",
    "MultiViewLabeler",
    "PromptUNet",
    "Prompts",
    "Propagation",
    "fusion",
    "majority_vote",
    "mean",
    "prompts_from_masks",
    "unanimous",
]
