"""Pseudo-labels of whole scans: how confident a model is of them, which to trust, and the folder that keeps them."""

from common.pseudo_labels.agreement import ViewAgreement, view_agreement
from common.pseudo_labels.files import PseudoLabelFolder, most_confident, take_pseudo_labels
from common.pseudo_labels.known import with_annotation
from common.pseudo_labels.label_scans import PseudoLabelling, confidence_views
from common.pseudo_labels.reliability import nearest_distance, region_confidence, select_reliable

__all__ = [
    "PseudoLabelFolder",
    "PseudoLabelling",
    "ViewAgreement",
    "confidence_views",
    "most_confident",
    "nearest_distance",
    "region_confidence",
    "select_reliable",
    "take_pseudo_labels",
    "view_agreement",
    "with_annotation",
]
