"""What a query that spends its budget at once refuses."""

from pathlib import Path

import pytest

from common.annotations import AnnotationStore, Ledger, LedgerEntry, OracleAnnotator
from common.cohort import Scan
from common.query import strategy
from common.query.one_shot import SampleQuery, check_budget

SCANS = [Scan(name, Path(name)) for name in "abc"]


@pytest.fixture
def ledger(tmp_path):
    """Two scans that ``he`` has chosen."""
    ledger = Ledger(tmp_path)
    ledger.add(LedgerEntry(scan, 0, 0, "he", 0.5, None, 8, "oracle") for scan in "ab")
    return ledger


def test_a_budget_that_fits(ledger, tmp_path):
    check_budget(2, SCANS, ledger)
    for budget in (1, 3):
        check_budget(budget, SCANS, Ledger(tmp_path / "new"))


@pytest.mark.parametrize("budget", [0, 4])
def test_a_budget_that_the_pool_has_not(budget, ledger):
    with pytest.raises(ValueError, match=rf"budget must lie in 1\.\.3, the training scans, got {budget}"):
        check_budget(budget, SCANS, ledger)


@pytest.mark.parametrize(
    ("budget", "query", "message"),
    [
        (3, "he", r"ledger\.json: expected 3 annotated scans, as budget says, found 2"),
        (2, "random", r"ledger\.json: expected scans chosen by random, found those of he; use another --output_dir"),
    ],
)
def test_another_query_than_the_one_that_was_made(budget, query, message, ledger, tmp_path):
    def sample_query(budget, query):
        return SampleQuery(
            None,
            strategy=strategy(query),
            annotator=OracleAnnotator(dense=True),
            ledger=ledger,
            store=AnnotationStore(tmp_path),
            scans=SCANS,
            budget=budget,
            table=tmp_path / "query.csv",
        )

    with pytest.raises(ValueError, match=message):
        sample_query(budget, query)
    assert sample_query(2, "he").run() == ["a", "b"]
