"""Losses over annotated voxels, consistency losses, and the loss terms that make up a method."""

from common.losses.companions import (
    CrossPseudoSupervisionTerm,
    InterpolationConsistencyTerm,
    UncertaintyAwareConsistencyTerm,
)
from common.losses.consistency import ConsistencyLoss
from common.losses.marginal import merge_unannotated
from common.losses.noise_tolerant_dice import NoiseTolerantDiceLoss
from common.losses.online_pseudo_label import OnlinePseudoLabelTerm
from common.losses.partial_cross_entropy import PartialCrossEntropyLoss
from common.losses.partial_dice import PartialDiceCELoss, PartialDiceLoss
from common.losses.step import Forward, Step
from common.losses.terms import AnnotationTerm, ConsistencyTerm, LossTerm

__all__ = [
    "AnnotationTerm",
    "ConsistencyLoss",
    "ConsistencyTerm",
    "CrossPseudoSupervisionTerm",
    "Forward",
    "InterpolationConsistencyTerm",
    "LossTerm",
    "NoiseTolerantDiceLoss",
    "OnlinePseudoLabelTerm",
    "PartialCrossEntropyLoss",
    "PartialDiceCELoss",
    "PartialDiceLoss",
    "Step",
    "UncertaintyAwareConsistencyTerm",
    "merge_unannotated",
]
