"""Losses over annotated voxels, consistency, and the terms that a method is made of."""

from common.losses.consistency import ConsistencyLoss
from common.losses.noise_tolerant_dice import NoiseTolerantDiceLoss
from common.losses.partial_cross_entropy import PartialCrossEntropyLoss
from common.losses.partial_dice import PartialDiceCELoss, PartialDiceLoss
from common.losses.step import Step
from common.losses.terms import AnnotationTerm, ConsistencyTerm, LossTerm

__all__ = [
    "AnnotationTerm",
    "ConsistencyLoss",
    "ConsistencyTerm",
    "LossTerm",
    "NoiseTolerantDiceLoss",
    "PartialCrossEntropyLoss",
    "PartialDiceCELoss",
    "PartialDiceLoss",
    "Step",
]
