"""Reports: one HTML page that shows what a run, or several runs on one cohort, did and how well."""

from common.report.comparing import Comparison, compare
from common.report.page import page
from common.report.reading import read_comparison, read_query, read_run, read_story
from common.report.results import read_scores
from common.report.story import CohortSummary, Picture, QueriedScan, RunRecord, ScanScore, Story
from common.report.write import write_comparison, write_report

__all__ = [
    "CohortSummary",
    "Comparison",
    "Picture",
    "QueriedScan",
    "RunRecord",
    "ScanScore",
    "Story",
    "compare",
    "page",
    "read_comparison",
    "read_query",
    "read_run",
    "read_scores",
    "read_story",
    "write_comparison",
    "write_report",
]
