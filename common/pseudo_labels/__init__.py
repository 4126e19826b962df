"""Pseudo-labels of whole scans: how sure a model is of them, which of them to trust, and where they are kept."""

from common.pseudo_labels.confidence import Confidence, confidence
from common.pseudo_labels.files import PseudoLabelFolder, most_confident, take_pseudo_labels
from common.pseudo_labels.label_scans import PseudoLabelling
from common.pseudo_labels.reliability import nearest_distance, region_confidence, select_reliable

__all__ = [
    "Confidence",
    "PseudoLabelFolder",
    "PseudoLabelling",
    "confidence",
    "most_confident",
    "nearest_distance",
    "region_confidence",
    "select_reliable",
    "take_pseudo_labels",
]
