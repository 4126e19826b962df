"""Submissions: first ones, corrections, several at once, and those that a crash interrupts at any of their steps."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from common.annotations import (
    Annotation,
    AnnotationStore,
    Ledger,
    OracleAnnotator,
    annotate_and_record,
    submit_annotation,
)
from common.cohort import Cohort, read_labels_ras, read_ras

SLICES = {"axial": 4}


@pytest.fixture
def scans(make_cohort):
    return Cohort.open(make_cohort(scans=4)).training


def drawing(scan, value=1, slices=SLICES, annotator="ann"):
    """An annotation of one axial slice, with a class in a corner that depends on ``value``."""
    array = np.full((6, 7, 8), 255, np.uint8)
    array[:, :, 4] = 0
    array[:value, 0, 4] = 1
    return Annotation(array, read_ras(scan.image)[1], slices, annotator)


def submit(folder, scan, annotation, **settings):
    settings = {"strategy": "her", "score": 0.5, "round": 3, "iteration": 70} | settings
    return submit_annotation(scan, annotation, ledger=Ledger(folder), store=AnnotationStore(folder), **settings)


def state(folder):
    """What a run knows: annotation and entry of each scan, and all that is kept of former ones that differ."""
    ledger, store = Ledger(folder), AnnotationStore(folder)
    annotations = {scan: store.read("annotation", scan).tobytes() for scan in ledger.labelled}
    entries = [(it.scan, it.round, it.strategy, it.voxels, it.annotator) for it in [*ledger.entries, *ledger.history]]
    current = [path.read_bytes() for path in folder.glob("annotation/*.nii")]
    former = {path.name: path.read_bytes() for path in folder.glob("annotation/history/*")}
    former = {name: content for name, content in former.items() if content not in current}
    return annotations, entries, former


def test_added_replaced_unchanged(scans, tmp_path):
    run, scan = tmp_path / "run", scans[0]
    assert submit(run, scan, drawing(scan, 1)) == "added"
    assert submit(run, scan, drawing(scan, 2, annotator="bob"), strategy="random", score=None, round=9) == "replaced"
    assert submit(run, scan, drawing(scan, 2, annotator="ann"), round=11) == "unchanged"
    ledger = Ledger(run)
    (entry,), (former,) = ledger.entries, ledger.history
    assert (entry.round, entry.iteration, entry.strategy, entry.score) == (3, 70, "her", 0.5)
    assert (entry.annotator, former.annotator) == ("bob", "ann")
    assert (entry.voxels, entry.slices) == (42, SLICES)
    assert np.array_equal(AnnotationStore(run).read("annotation", scan.id), drawing(scan, 2).array)
    assert [path.name for path in (run / "annotation/history").iterdir()] == ["scan_0.1.nii"]
    assert not list(run.glob(".submission*"))


def test_another_grid_is_refused(scans, tmp_path):
    scan = scans[0]
    right = drawing(scan)
    for array, affine in ((right.array[:5], right.affine), (right.array, right.affine @ np.diag([2, 1, 1, 1]))):
        with pytest.raises(ValueError, match=r"scan_0: expected .* the grid of scan_0\.nii\.gz, 6 × 7 × 8"):
            submit(tmp_path / "run", scan, Annotation(array, affine, None, "ann"))
    assert not (tmp_path / "run").exists()


STEPS = {"nothing": ".submission.json", "announced": "scan_0.nii", "stored": "ledger.json", "recorded": ""}
"""What a submission has done, and the file that it is about to write; in the end it removes the first one."""


def interrupt(patch, done):
    """Ends a submission as a crash would, at one of its steps."""
    replace, unlink = os.replace, Path.unlink

    def interrupted_replace(source, target):
        if Path(target).name == STEPS[done]:
            raise KeyboardInterrupt
        replace(source, target)

    def interrupted_unlink(path, missing_ok=False):
        if path.name == ".submission.json" and done == "recorded":
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    patch.setattr("os.replace", interrupted_replace)
    patch.setattr(Path, "unlink", interrupted_unlink)


@pytest.mark.parametrize("correction", [False, True])
@pytest.mark.parametrize("done", STEPS)
@pytest.mark.parametrize("then", ["the same", "another of the scan", "of another scan"])
def test_a_crash_at_any_step_is_made_good_by_the_next_change(scans, tmp_path, monkeypatch, correction, done, then):
    """In the end the run is as if the interrupted submission had been made in full, or not at all."""
    scan, other = scans[:2]
    runs = {name: tmp_path / name for name in ("crashed", "whole", "without")}
    if correction:
        for run in runs.values():
            submit(run, scan, drawing(scan, 1))
    submit(runs["whole"], scan, drawing(scan, 2))
    with monkeypatch.context() as patch:
        interrupt(patch, done)
        with pytest.raises(KeyboardInterrupt):
            submit(runs["crashed"], scan, drawing(scan, 2))
    following = {
        "the same": (scan, drawing(scan, 2)),
        "another of the scan": (scan, drawing(scan, 3)),
        "of another scan": (other, drawing(other, 1)),
    }[then]
    for run in runs.values():
        submit(run, *following)
    as_if = runs["whole" if done in ("stored", "recorded") else "without"]
    assert state(runs["crashed"]) == state(as_if)
    assert not list(runs["crashed"].glob(".submission*"))


def test_a_query_is_not_stopped_by_what_a_crash_has_left(scans, tmp_path, monkeypatch):
    run, scan = tmp_path / "run", scans[0]
    AnnotationStore(run).replace(scan.id, drawing(scan, 1).array, drawing(scan).affine)
    submit(run, scans[1], drawing(scans[1], 2))
    ledger, store = Ledger(run), AnnotationStore(run)
    annotate_and_record(scans[:2], annotator=OracleAnnotator(dense=True), ledger=ledger, store=store, strategy="her")
    assert [(entry.scan, entry.annotator) for entry in ledger.entries] == [("scan_1", "ann"), ("scan_0", "oracle")]
    assert np.array_equal(store.read("annotation", "scan_0"), read_labels_ras(scan.label)[0])
    assert np.array_equal(store.read("annotation", "scan_1"), drawing(scans[1], 2).array)


def test_many_threads_submit_the_same_scan(scans, tmp_path):
    run, scan = tmp_path / "run", scans[0]
    with ThreadPoolExecutor(8) as threads:
        values = [1 + number % 6 for number in range(24)]
        found = list(threads.map(lambda value: submit(run, scan, drawing(scan, value)), values))
    ledger = Ledger(run)
    assert found.count("added") == len(ledger.entries) == 1
    assert found.count("replaced") == len(ledger.history) == len(list((run / "annotation/history").iterdir()))
    stored = AnnotationStore(run).read("annotation", scan.id)
    assert ledger.entries[0].voxels == np.count_nonzero(stored != 255)


def submit_all(run, scans, name):
    for scan in scans:
        submit(run, scan, drawing(scan, int(name), annotator=name))


def test_processes_submit_at_once(scans, tmp_path):
    """Three processes submit the same four scans: every submission counts."""
    run = tmp_path / "run"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=submit_all, args=(run, scans, name)) for name in "123"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    ledger = Ledger(run)
    assert sorted(ledger.labelled) == [scan.id for scan in scans]
    for entry in ledger.entries:
        kept = [entry, *(former for former in ledger.history if former.scan == entry.scan)]
        assert sorted(it.annotator for it in kept) == ["1", "2", "3"]
        stored = AnnotationStore(run).read("annotation", entry.scan)
        assert np.count_nonzero(stored == 1) == int(entry.annotator), "the last one is what is learnt from"
