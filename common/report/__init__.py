"""Reports: one HTML page that shows what a run, or several runs on one cohort, did and how well."""

from common.report.page import page
from common.report.reading import read_query, read_run, read_scores, read_story
from common.report.story import CohortSummary, Picture, QueriedScan, RunRecord, ScanScore, Story
from common.report.write import write_report

__all__ = [
    "CohortSummary",
    "Picture",
    "QueriedScan",
    "RunRecord",
    "ScanScore",
    "Story",
    "page",
    "read_query",
    "read_run",
    "read_scores",
    "read_story",
    "write_report",
]
