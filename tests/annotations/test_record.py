"""What is kept of an annotation, and that nothing is kept while people are still drawing."""

import numpy as np
import pytest

from common.annotations import (
    AnnotationsPending,
    AnnotationStore,
    FolderAnnotator,
    Ledger,
    OracleAnnotator,
    annotate_and_record,
)
from common.cohort import Cohort

SETTINGS = {"strategy": "her", "round": 2, "iteration": 40, "scores": {"scan_0": 0.75}}


def test_store_and_ledger_hold_the_same_scans(make_cohort, tmp_path):
    scans = Cohort.open(make_cohort(scans=2)).training
    ledger, store = Ledger(tmp_path), AnnotationStore(tmp_path)
    annotate_and_record(scans, annotator=OracleAnnotator(), ledger=ledger, store=store, **SETTINGS)
    first, second = Ledger(tmp_path).entries
    assert [(it.scan, it.score) for it in (first, second)] == [("scan_0", 0.75), ("scan_1", None)]
    assert (first.round, first.iteration, first.strategy, first.annotator) == (2, 40, "her", "oracle")
    assert first.slices == {"axial": 4, "coronal": 3, "sagittal": 2}
    annotation = store.read("annotation", "scan_0")
    assert first.voxels == np.count_nonzero(annotation != 255) == 6 * 7 + 6 * 8 + 7 * 8 - 6 - 7 - 8 + 1


def test_nothing_is_kept_while_annotations_are_awaited(make_cohort, tmp_path):
    cohort = Cohort.open(make_cohort(scans=1))
    ledger, store = Ledger(tmp_path / "run"), AnnotationStore(tmp_path / "run")
    annotator = FolderAnnotator(tmp_path / "run", cohort.labels)
    with pytest.raises(AnnotationsPending):
        annotate_and_record(cohort.training, annotator=annotator, ledger=ledger, store=store, **SETTINGS)
    assert not ledger.path.exists() and not store.has("annotation", "scan_0")
