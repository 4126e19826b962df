"""Ignite handlers: rounds over the pool, pseudo-labels, queries, checkpoints and the log."""

from common.handlers.active_query import ActiveQueryHandler, check_budget
from common.handlers.checkpoint import BestModel, Checkpoint
from common.handlers.log import TrainingLog, read_log
from common.handlers.pool import PoolInference, PoolScan, RoundEvents
from common.handlers.propagate import PropagatedLabels
from common.handlers.pseudo_label import PseudoLabelHandler, annotated_dice
from common.handlers.reliable import ReliablePseudoLabels
from common.handlers.rounds import Rounds, SpreadRounds

__all__ = [
    "ActiveQueryHandler",
    "BestModel",
    "Checkpoint",
    "PoolInference",
    "PoolScan",
    "PropagatedLabels",
    "PseudoLabelHandler",
    "ReliablePseudoLabels",
    "RoundEvents",
    "Rounds",
    "SpreadRounds",
    "TrainingLog",
    "annotated_dice",
    "check_budget",
    "read_log",
]
