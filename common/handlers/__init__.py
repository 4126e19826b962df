"""Ignite handlers: rounds over the pool, pseudo-labels, queries, checkpoints and the log."""

from common.handlers.active_query import ActiveQueryHandler
from common.handlers.checkpoint import BestModel, Checkpoint
from common.handlers.log import TrainingLog, read_log
from common.handlers.pool import PoolInference, PoolScan, RoundEvents, Rounds
from common.handlers.pseudo_label import PseudoLabelHandler, annotated_dice
from common.handlers.reliable import ReliablePseudoLabels

__all__ = [
    "ActiveQueryHandler",
    "BestModel",
    "Checkpoint",
    "PoolInference",
    "PoolScan",
    "PseudoLabelHandler",
    "ReliablePseudoLabels",
    "RoundEvents",
    "Rounds",
    "TrainingLog",
    "annotated_dice",
    "read_log",
]
