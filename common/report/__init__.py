"""A page that tells what a run did."""

from common.report.page import page
from common.report.reading import read_query, read_rounds, read_run, read_scores, read_story
from common.report.story import (
    CohortSummary,
    Picture,
    QueriedScan,
    RatedPrediction,
    RunRecord,
    ScanScore,
    SelectionRound,
    Story,
)
from common.report.write import write_report

__all__ = [
    "CohortSummary",
    "Picture",
    "QueriedScan",
    "RatedPrediction",
    "RunRecord",
    "ScanScore",
    "SelectionRound",
    "Story",
    "page",
    "read_query",
    "read_rounds",
    "read_run",
    "read_scores",
    "read_story",
    "write_report",
]
