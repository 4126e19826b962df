"""Ignite handlers: rounds over the pool, pseudo-labels, queries, checkpoints, the log and the record of sessions."""

from common.handlers.active_query import ActiveQueryHandler
from common.handlers.checkpoint import BestModel, Checkpoint
from common.handlers.log import TrainingLog, read_log
from common.handlers.pool import PoolInference, PoolScan, RoundEvents
from common.handlers.propagate import PropagatedLabels
from common.handlers.pseudo_label import PseudoLabelHandler, annotated_dice
from common.handlers.reliable import ReliablePseudoLabels
from common.handlers.rounds import Rounds, SpreadRounds
from common.handlers.session import SessionRecord, read_sessions

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
    "SessionRecord",
    "SpreadRounds",
    "TrainingLog",
    "annotated_dice",
    "read_log",
    "read_sessions",
]
