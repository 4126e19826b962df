"""What a run must have in common with the one that it resumes."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch

from common.annotations import AnnotationStore, Ledger, LedgerEntry
from common.cohort import Cohort
from common.resume import check_resume
from tests.samples import save, states

SETTINGS = {"seed": 0, "per_round": 2, "generalist": "embedded", "roi_size": [32, 32, 16], "changes": {}}


def entry(scan):
    return LedgerEntry(
        scan=scan, round=0, iteration=0, strategy="random", score=None, slices=None, voxels=1, annotator="oracle"
    )


@pytest.fixture
def run(tmp_path, make_cohort):
    """A run that has begun: one annotated scan and a checkpoint."""
    cohort, folder = Cohort.open(make_cohort(4)), tmp_path / "run"
    store, ledger = AnnotationStore(folder), Ledger(folder / "ledger.json")
    check(folder, cohort)
    store.write("annotation", "scan_0", np.ones((6, 7, 8), np.uint8), np.eye(4))
    ledger.add(entry("scan_0"))
    torch.save({"settings": SETTINGS, "iteration": 3}, folder / "checkpoint.pt")
    return folder, cohort


def check(folder, cohort, **changes):
    ledger, store = Ledger(folder / "ledger.json"), AnnotationStore(folder)
    check_resume(folder, settings=SETTINGS | changes, cohort=Cohort.open(cohort.folder), ledger=ledger, store=store)


def refused(run, kind, *words, **changes):
    folder, cohort = run
    before = states(folder)
    with pytest.raises(kind) as caught:
        check(folder, cohort, **changes)
    assert all(word in str(caught.value) for word in (*words, "another --output_dir")), str(caught.value)
    assert states(folder) == before


def test_the_same_run_goes_on(run):
    before = states(run[0])
    check(*run)
    assert states(run[0]) == before


def test_a_run_that_waits_for_its_first_annotations_goes_on(run):
    folder, cohort = run
    (folder / "ledger.json").unlink()
    torch.save({"settings": SETTINGS, "iteration": 0}, folder / "checkpoint.pt")
    check(folder, cohort)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"per_round": 1}, "per_round: 2 then, 1 now"),
        ({"generalist": "medsam"}, "generalist: 'embedded' then, 'medsam' now"),
        ({"roi_size": [32, 32, 32]}, "roi_size: [32, 32, 16] then, [32, 32, 32] now"),
        ({"changes": {"network_def#width": 8}}, 'network_def#width: "the bundle\'s own" then, 8 now'),
        ({"seed": 1, "per_round": 3}, "seed: 0 then, 1 now; per_round: 2 then, 3 now"),
    ],
)
def test_other_settings(run, changes, words):
    refused(run, ValueError, "checkpoint.pt", words, "use the former settings", **changes)


def test_a_checkpoint_of_an_earlier_version(run):
    refused(run, ValueError, "says copy_paste, fusion, found one of an earlier version", copy_paste=0.5, fusion="mean")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"conv.weight": torch.zeros(2)}, "found a file without its settings (conv.weight)"),
        ([1, 2], "found a file without its settings (list)"),
        (b"damaged", "found a file that cannot be read"),
        (b"", "found a file that cannot be read"),
    ],
)
def test_a_checkpoint_of_another_kind(run, content, words):
    path = run[0] / "checkpoint.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    refused(run, ValueError, "checkpoint.pt: expected the checkpoint of a training", words)


def image(folder, scan="scan_2"):
    return folder / f"images/{scan}.nii.gz"


def flipped(folder):
    """The same scan from the other side, in a file of the same size: only the voxels are others."""
    for scan in range(4):
        path = image(folder, f"scan_{scan}")
        save(path, np.asanyarray(nib.load(path).dataobj)[::-1].copy())


def moved(folder):
    save(image(folder), np.asanyarray(nib.load(image(folder)).dataobj).copy(), np.diag([1, 1, 1.05, 1]))


def cut(folder):
    save(image(folder), np.asanyarray(nib.load(image(folder)).dataobj)[1:].copy())


def datalist(change):
    def write(folder):
        path = folder / "datalist.json"
        found = json.loads(path.read_text())
        change(found)
        path.write_text(json.dumps(found))

    return write


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (flipped, "scan_0 has another "),
        (moved, "scan_2 has another affine"),
        (cut, "scan_2 has another shape, [6, 7, 8] then, [5, 7, 8] now"),
        (datalist(lambda it: it["training"].pop()), "scan_3, which was there (training), is not"),
        (datalist(lambda it: it["validation"].append(it["training"].pop())), "scan_3 has another split, training then"),
    ],
)
def test_another_cohort_under_the_same_ids(run, change, words):
    change(run[1].folder)
    refused(run, ValueError, "cohort.json: expected the cohort of the run in this folder", words)


def test_the_voxels_alone_are_others(run):
    """Uncompressed files have one size, whatever they hold."""
    folder, cohort = run
    path = cohort.folder / "images/new.nii"
    save(path, np.arange(336, dtype=np.float32).reshape(6, 7, 8))
    datalist(lambda it: it["training"].append("images/new.nii"))(cohort.folder)
    shutil.rmtree(folder)
    check(folder, cohort)
    torch.save({"settings": SETTINGS}, folder / "checkpoint.pt")
    AnnotationStore(folder).write("annotation", "new", np.ones((6, 7, 8), np.uint8), np.eye(4))
    Ledger(folder / "ledger.json").add(entry("new"))
    save(path, np.arange(336, dtype=np.float32).reshape(6, 7, 8)[::-1].copy())
    refused(run, ValueError, "new has another content")


def test_a_cohort_may_be_elsewhere_and_a_run_that_has_not_begun_may_change_it(run, tmp_path):
    folder, cohort = run
    shutil.copytree(cohort.folder / "images", tmp_path / "copy" / "images")
    shutil.copytree(cohort.folder / "labels", tmp_path / "copy" / "labels")
    shutil.copy(cohort.folder / "datalist.json", tmp_path / "copy")
    check(folder, Cohort.open(tmp_path / "copy"))
    fresh = tmp_path / "fresh"
    check(fresh, cohort)
    cut(cohort.folder)
    check(fresh, cohort)
    assert json.loads((fresh / "cohort.json").read_text())["scan_2"]["shape"] == [5, 7, 8]


def test_an_annotation_that_the_ledger_lists_is_missing(run):
    (run[0] / "annotation" / "scan_0.nii").unlink()
    refused(
        run,
        FileNotFoundError,
        "annotation/scan_0.nii",
        "expected the annotation of a scan that the ledger lists, found no such file; bring",
    )


def test_the_ledger_is_missing(run):
    (run[0] / "ledger.json").unlink()
    refused(run, FileNotFoundError, "ledger.json: expected the ledger of the run whose checkpoint is here")


def test_annotated_scans_were_taken_out_of_the_datalist(run):
    datalist(lambda it: it["training"].pop(0))(run[1].folder)
    refused(run, ValueError, "found scan_0, annotated but not among the 3 training scans of the datalist")


@pytest.mark.parametrize("scan", ["../scan_1", "/etc/passwd", "images/scan_1"])
def test_an_entry_of_the_ledger_that_is_no_scan(run, scan):
    path = run[0] / "ledger.json"
    path.write_text(path.read_text().replace('"scan_0"', json.dumps(scan)))
    refused(run, ValueError, "ledger.json: expected the ids of scans, found paths", repr(scan))
