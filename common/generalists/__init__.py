"""Promptable 2D models (generalists), prompts for them, and the labelling of volumes by them in three views."""

from common.generalists.checks import views_named
from common.generalists.denoise import confident_learning_filter
from common.generalists.embedded import EmbeddedGeneralist
from common.generalists.fusion import FUSIONS, fusion, majority_vote, mean, unanimous
from common.generalists.generalist import Generalist
from common.generalists.kinds import announce_generalist, open_generalist
from common.generalists.multi_view import MultiViewLabeler
from common.generalists.prompts import Prompts, prompts_from_masks
from common.generalists.propagate import Propagation
from common.generalists.prototypes import class_prototypes, prototype_similarity
from common.generalists.sam import SamGeneralist

__all__ = [
    "FUSIONS",
    "EmbeddedGeneralist",
    "Generalist",
    "MultiViewLabeler",
    "Prompts",
    "Propagation",
    "SamGeneralist",
    "announce_generalist",
    "class_prototypes",
    "confident_learning_filter",
    "fusion",
    "majority_vote",
    "mean",
    "open_generalist",
    "prompts_from_masks",
    "prototype_similarity",
    "unanimous",
    "views_named",
]
