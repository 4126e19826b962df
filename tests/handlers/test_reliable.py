"""Which pseudo-labels a round leaves behind."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from common.annotations import AnnotationStore, Ledger, LedgerEntry
from common.handlers import PoolScan, ReliablePseudoLabels

ENGINE = SimpleNamespace(state=SimpleNamespace(iteration=7, metrics={}))


def handler_of(folder, **arguments):
    ledger = Ledger(folder / "ledger.json")
    if not ledger.entries:
        ledger.add(LedgerEntry("known", 0, 0, "assft", 0.5, None, 64, "test"))
    pool = SimpleNamespace(features=True, completed=0)
    return ReliablePseudoLabels(pool, ledger=ledger, store=AnnotationStore(folder), **arguments)


def scan_of(name, confidence, angle):
    """Foreground in one half with a given confidence; features in a given direction."""
    foreground = torch.full((4, 4, 4), 0.01)
    foreground[:2] = confidence
    features = torch.tensor([np.cos(angle), np.sin(angle)], dtype=torch.float32)[:, None, None, None].expand(2, 2, 2, 2)
    probabilities = torch.stack([1 - foreground, foreground])
    return PoolScan(probabilities, features, scan=name, image=torch.zeros(1, 4, 4, 4), affine=torch.eye(4))


def play(handler, scans, number=1):
    handler.begin(ENGINE, number)
    for scan in scans:
        handler.visit(scan)
    handler.end(ENGINE, number)


POOL = [
    scan_of("known", 0.9, 0.0),
    scan_of("near", 0.95, 0.1),
    scan_of("far", 0.97, 2.0),
    scan_of("unsure", 0.6, 0.1),
    scan_of("neither", 0.55, 1.5),
]


def test_confident_scans_near_to_a_labelled_one_are_taken(tmp_path):
    handler = handler_of(tmp_path)
    play(handler, POOL)
    ledger = Ledger(tmp_path)
    (selection,) = ledger.trust_entries
    assert selection.round == 1 and selection.iteration == 7 and selection.selected == ["near"]
    assert selection.scans.keys() == {"near", "far", "unsure", "neither"}
    assert selection.scans["near"].distance == pytest.approx(1 - np.cos(0.1), abs=1e-5)
    assert selection.scans["near"].confidence > selection.scans["unsure"].confidence
    assert ledger.labelled == ["known"]
    store = AnnotationStore(tmp_path)
    expected = np.zeros((4, 4, 4), np.uint8)
    expected[:2] = 1
    np.testing.assert_array_equal(store.read("pseudo_label", "near"), expected)
    assert not any(store.has("pseudo_label", scan) for scan in ("known", "far", "unsure", "neither"))
    assert not any(handler.candidates.path("pseudo_label", "near").parent.iterdir())
    assert handler.selected == ["near"]


@pytest.mark.parametrize(("completed", "selected"), [(0, []), (1, ["near"]), (2, ["unsure"])])
def test_a_run_goes_on_with_the_selection_of_its_last_round(completed, selected, tmp_path):
    handler = handler_of(tmp_path)
    play(handler, POOL)
    play(handler, [scan for scan in POOL if scan.scan != "near"], number=2)
    again = handler_of(tmp_path)
    again.pool.completed = completed
    again.start()
    assert again.selected == selected


def test_a_scan_that_is_reliable_no_more_is_blanked(tmp_path):
    handler = handler_of(tmp_path)
    play(handler, POOL)
    later = [scan_of("near", 0.51, 1.9), *(scan for scan in POOL if scan.scan != "near")]
    play(handler, later, number=2)
    assert (AnnotationStore(tmp_path).read("pseudo_label", "near") == 255).all()
    assert ["near" in selection.selected for selection in Ledger(tmp_path).trust_entries] == [True, False]
    play(handler, POOL, number=1)
    assert [selection.round for selection in Ledger(tmp_path).trust_entries] == [1]


def test_scans_without_a_prediction_have_no_pseudo_label(tmp_path):
    empty = [scan_of(name, 0.01, 0.1) for name in ("empty", "blank", "nothing")]
    play(handler_of(tmp_path, distance_quantile=1.0), [POOL[0], *empty, scan_of("far", 0.9, 1.0)])
    (selection,) = Ledger(tmp_path).trust_entries
    assert selection.selected == ["far"]
    assert {scan: found.confidence for scan, found in selection.scans.items() if scan != "far"} == dict.fromkeys(
        ("empty", "blank", "nothing"), 0
    )
    assert not AnnotationStore(tmp_path).has("pseudo_label", "empty")


def test_unsure_voxels_are_left_out(tmp_path):
    play(handler_of(tmp_path, confidence_quantile=0.0, distance_quantile=1.0), POOL)
    unsure = AnnotationStore(tmp_path).read("pseudo_label", "unsure")
    assert (unsure[:2] == 255).all() and (unsure[2:] == 0).all()


@pytest.mark.parametrize(("largest_volumes", "kept"), [(None, {1, 2, 3}), (2, {1, 2}), (1, {1})])
def test_smaller_components_become_background(tmp_path, largest_volumes, kept):
    parts = torch.zeros(8, 8, 8, dtype=torch.int64)
    parts[1:4, 1:4, 1:4] = 1
    parts[4, 4, 4] = 1  # by its corner
    parts[6:, :3, :3] = 2
    parts[:2, 6:, 6] = 3
    foreground = torch.tensor([0.01, 0.95, 0.95, 0.95])[parts]
    foreground[6, 0, 0] = foreground[1, 1, 1] = 0.6
    probabilities = torch.stack([1 - foreground, foreground])
    scan = PoolScan(probabilities, POOL[1].features, scan="near", image=torch.zeros(1, 8, 8, 8), affine=torch.eye(4))
    play(handler_of(tmp_path, largest_volumes=largest_volumes), [POOL[0], scan])
    expected = np.where(np.isin(parts, list(kept)), 1, 0)
    expected[1, 1, 1] = 255
    expected[6, 0, 0] = 255 if 2 in kept else 0
    np.testing.assert_array_equal(AnnotationStore(tmp_path).read("pseudo_label", "near"), expected)


def test_components_are_those_of_each_class(tmp_path):
    label = torch.zeros(6, 6, 6, dtype=torch.int64)
    label[:3, 0, 0], label[3:5, 0, 0], label[5, 5, 5], label[0, 5, 5] = 1, 2, 1, 2
    probabilities = 0.05 + 0.85 * torch.nn.functional.one_hot(label, 3).movedim(-1, 0).float()
    scan = PoolScan(probabilities, POOL[1].features, scan="near", image=torch.zeros(1, 6, 6, 6), affine=torch.eye(4))
    play(handler_of(tmp_path, largest_volumes=1), [POOL[0], scan])
    label[5, 5, 5] = label[0, 5, 5] = 0
    np.testing.assert_array_equal(AnnotationStore(tmp_path).read("pseudo_label", "near"), label)


def test_a_pool_that_is_labelled_altogether(tmp_path):
    play(handler_of(tmp_path), POOL[:1])
    assert [selection.scans for selection in Ledger(tmp_path).trust_entries] == [{}]


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match=r"threshold must lie in 0..1, got 2"):
        handler_of(tmp_path, threshold=2)
    with pytest.raises(ValueError, match=r"largest_volumes must be a whole number of at least 1 \(or None\), got 0"):
        handler_of(tmp_path, largest_volumes=0)
    with pytest.raises(ValueError, match=r"confidence_quantile must lie in 0..1"):
        handler_of(tmp_path, confidence_quantile=-1)
    with pytest.raises(ValueError, match=r"features=True"):
        ReliablePseudoLabels(SimpleNamespace(features=False), ledger=Ledger(tmp_path), store=AnnotationStore(tmp_path))
