"""Promptable 2D models (generalists), their prompts, and the labelling of volumes in three views."""

from common.generalists.denoise import confident_learning_filter
from common.generalists.embedded import EmbeddedGeneralist
from common.generalists.embeddings import EmbeddingCache
from common.generalists.fine_tuning import trainable_sam
from common.generalists.fusion import FUSIONS, fusion, majority_vote, mean, unanimous
from common.generalists.generalist import Generalist
from common.generalists.kinds import open_generalist
from common.generalists.lora import add_lora, load_adapter, merge_lora, save_adapter
from common.generalists.multi_view import MultiViewLabeler
from common.generalists.prompt_unet import PromptUNet
from common.generalists.prompts import Prompts, prompts_from_masks
from common.generalists.propagate import Propagation
from common.generalists.prototypes import class_prototypes, prototype_similarity
from common.generalists.sam import SamGeneralist

__all__ = [
    "FUSIONS",
    "EmbeddedGeneralist",
    "EmbeddingCache",
    "Generalist",
    "MultiViewLabeler",
    "PromptUNet",
    "Prompts",
    "Propagation",
    "SamGeneralist",
    "add_lora",
    "class_prototypes",
    "confident_learning_filter",
    "fusion",
    "load_adapter",
    "majority_vote",
    "mean",
    "merge_lora",
    "open_generalist",
    "prompts_from_masks",
    "prototype_similarity",
    "save_adapter",
    "trainable_sam",
    "unanimous",
]
