import logging
from dataclasses import replace

import numpy as np
import pytest

from common.annotations import AnnotationStore, Ledger, LedgerEntry, OracleAnnotator, annotate_at_start, first_labelled
from common.cohort import read_labels_ras
from common.prepare import write_phantom


@pytest.fixture
def cohort(tmp_path):
    return write_phantom(tmp_path / "phantom", scans=5, size=16, seed=0)


@pytest.fixture
def places(tmp_path):
    return {"ledger": Ledger(tmp_path / "run"), "store": AnnotationStore(tmp_path / "run")}


def annotate(cohort, places, number=1):
    annotate_at_start(first_labelled(cohort, number), annotator=OracleAnnotator(dense=True), cohort=cohort, **places)


def test_the_first_scans_are_labelled_once(cohort, places):
    assert first_labelled(cohort, 1) == [cohort.training[0]]
    annotate(cohort, places)
    entries = Ledger(places["ledger"].path).entries
    label, _ = read_labels_ras(cohort.training[0].label)
    np.testing.assert_array_equal(places["store"].read("annotation", cohort.training[0].id), label)
    assert [(entry.round, entry.strategy, entry.slices, entry.voxels) for entry in entries] == [
        (0, "first", None, label.size)
    ]
    annotate(cohort, places)
    assert Ledger(places["ledger"].path).entries == entries


def test_by_default_all_that_have_a_label(cohort):
    first, *others = cohort.training
    partly = replace(cohort, training=(replace(first, label=None), *others))
    assert first_labelled(partly, leave_unlabelled=True) == others


def test_a_class_that_cannot_be_learnt_is_named(cohort, places, caplog):
    known = max(cohort.labels)
    wider = replace(cohort, labels={**cohort.labels, known + 1: "appendage"})
    with caplog.at_level(logging.WARNING):
        annotate(wider, places)
    assert f"NO LABELLED SCAN HAS ANY appendage (class {known + 1})" in caplog.text
    assert len(caplog.records) == 1


def test_bad_input(cohort, places):
    bare = replace(cohort, training=tuple(replace(scan, label=None) for scan in cohort.training))
    with pytest.raises(ValueError, match="at least one training scan with a label, found none"):
        first_labelled(bare)
    with pytest.raises(ValueError, match="expected unlabelled training scans"):
        first_labelled(cohort, leave_unlabelled=True)
    for number in (0, len(cohort.training) + 1):
        with pytest.raises(ValueError, match=rf"labelled must lie in 1\.\.{len(cohort.training)}"):
            first_labelled(cohort, number)
    last = cohort.training[-1].id
    places["ledger"].add(LedgerEntry(last, 0, 0, "random", None, None, 1, "oracle"))
    with pytest.raises(ValueError, match=f"found {last}; use"):
        annotate(cohort, places)
