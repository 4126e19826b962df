"""People and a model label a study in turns: what is predicted, which scan is wanted next, and what is learnt of it."""

from common.labelling.next_scan import Choice, next_scan, round_number
from common.labelling.predraw import predrawn
from common.labelling.prompted import prompted_mask
from common.labelling.requested import Request, Requests
from common.labelling.scores import ScanScores, Scores, score_scans
from common.labelling.specialist import Specialist
from common.labelling.training import Training

__all__ = [
    "Choice",
    "Request",
    "Requests",
    "ScanScores",
    "Scores",
    "Specialist",
    "Training",
    "next_scan",
    "predrawn",
    "prompted_mask",
    "round_number",
    "score_scans",
]
