"""Pseudo-labels of whole scans, made once and kept with their confidence."""

from common.networks.stitched_sam import CONFIDENCE_VIEWS
from common.pseudo_labels.confidence import Confidence, confidence
from common.pseudo_labels.files import PseudoLabelFolder, take_pseudo_labels
from common.pseudo_labels.label_scans import PseudoLabelling

__all__ = ["CONFIDENCE_VIEWS", "Confidence", "PseudoLabelFolder", "PseudoLabelling", "confidence", "take_pseudo_labels"]
