"""Models of the SAM family: as generalists, fine-tuned by LoRA, and as networks that segment volumes."""

from common.generalists.sam.embeddings import EmbeddingCache
from common.generalists.sam.generalist import SamGeneralist
from common.generalists.sam.lora import add_lora, load_adapter, merge_lora, save_adapter
from common.generalists.sam.stitched import CONFIDENCE_VIEWS, StitchedSam, StitchedView
from common.generalists.sam.trainable import announce_sam, image_size_of, trainable_sam, usage_of

__all__ = [
    "CONFIDENCE_VIEWS",
    "EmbeddingCache",
    "SamGeneralist",
    "StitchedSam",
    "StitchedView",
    "add_lora",
    "announce_sam",
    "image_size_of",
    "load_adapter",
    "merge_lora",
    "save_adapter",
    "trainable_sam",
    "usage_of",
]
