"""Pseudo-labels of a scan, and how good they are on annotated voxels."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from common.annotations import AnnotationStore, Ledger, LedgerEntry
from common.generalists import confident_learning_filter, prototype_similarity
from common.handlers import PoolScan, PseudoLabelHandler, annotated_dice


def test_by_hand():
    annotation = np.array([[0, 1, 1, 255, 2, 2]], np.uint8)
    prediction = np.array([[1, 1, 255, 1, 2, 0]], np.uint8)
    first = 2 * 1 / (2 + 2)
    second = 2 * 1 / (1 + 2)
    assert math.isclose(annotated_dice(prediction, annotation, classes=[1, 2]), (first + second) / 2)


def test_a_class_that_is_nowhere_does_not_count():
    annotation = np.array([0, 1, 255], np.uint8)
    assert annotated_dice(np.array([0, 1, 2], np.uint8), annotation, classes=[1, 2]) == 1


def test_nothing_to_compare():
    assert math.isnan(annotated_dice(np.zeros(3, np.uint8), np.array([0, 255, 0], np.uint8), classes=[1]))


class Shifted:
    """Labels a scan with the prediction, moved by a voxel along the first axis."""

    def __init__(self):
        self.similarity = []
        self.specialist = []

    def __call__(self, image, prediction, spacing, seed, *, similarity=None, specialist=None):
        self.similarity.append(similarity)
        self.specialist.append(specialist)
        return prediction.roll(1, dims=0)


def a_scan(features=None):
    logits = torch.full((2, 8, 6, 6), -2.0)
    logits[0] = 2
    logits[:, 3:6, 2:5, 2:5] *= -1
    logits += torch.randn(logits.shape, generator=torch.Generator().manual_seed(0)) * 0.5
    return PoolScan(logits.softmax(dim=0), features, scan="a", image=torch.zeros(1, 8, 6, 6), affine=torch.eye(4))


def labelled(folder, scan, annotation=None, *, features=False, **settings):
    """The pseudo-label of a scan, and the labeler that made it."""
    store = AnnotationStore(folder)
    if annotation is not None:
        store.write("annotation", scan.scan, annotation, np.eye(4))
    pool = SimpleNamespace(features=features, network=torch.nn.Linear(1, 1))
    handler = PseudoLabelHandler(pool, labeler=Shifted(), ledger=Ledger(folder), store=store, num_classes=2, **settings)
    handler.begin(SimpleNamespace(state=SimpleNamespace(iteration=1)), 1)
    handler.visit(scan)
    return np.array(store.read("pseudo_label", scan.scan)), handler.labeler


def test_by_default_the_fused_label_is_written(tmp_path):
    scan = a_scan(torch.rand(3, 8, 6, 6))
    found, labeler = labelled(tmp_path, scan)
    assert labeler.similarity == [None]
    assert torch.equal(labeler.specialist[0], scan.probabilities)
    assert (found == scan.probabilities.argmax(dim=0).roll(1, dims=0).numpy()).all()


def test_prototypes_hand_the_similarity_on(tmp_path):
    scan = a_scan(torch.rand(3, 8, 6, 6))
    _, labeler = labelled(tmp_path, scan, features=True, prototypes=True)
    expected = prototype_similarity(scan.features, scan.probabilities, contrast=True)
    assert torch.equal(labeler.similarity[0], expected)


def test_prototypes_need_a_pool_with_features(tmp_path):
    with pytest.raises(ValueError, match=r"pool must give features for prototypes: PoolInference\(features=True\)"):
        labelled(tmp_path, a_scan(), prototypes=True)


def test_denoising_comes_before_the_experts_label(tmp_path):
    scan = a_scan()
    annotation = np.full((8, 6, 6), 255, np.uint8)
    annotation[:, 3] = scan.probabilities.argmax(dim=0)[:, 3]
    found, _ = labelled(tmp_path, scan, annotation, denoise=True)
    fused = scan.probabilities.argmax(dim=0).to(torch.uint8).roll(1, dims=0)
    denoised = confident_learning_filter(fused, scan.probabilities).numpy()
    assert (denoised[:, 3] == 255).any() and (denoised == fused.numpy()).mean() > 0.9
    assert (found == np.where(annotation == 255, denoised, annotation)).all()
    assert (found[:, 3] != 255).all()


@pytest.mark.parametrize("drawn", [False, True])
def test_a_teacher_that_finds_nothing_gives_no_pseudo_label(tmp_path, drawn):
    """Not even the one that an earlier round gave; the agreement counts as none on a slice that has the object."""
    handler = handler_of(tmp_path, number=2)
    if drawn:
        annotation = np.full((8, 6, 6), 255, np.uint8)
        annotation[4] = 0
        annotation[4, 2:5, 2:5] = 1
        handler.store.write("annotation", "a", annotation, np.eye(4))
    handler.visit(a_scan())
    assert handler.store.has("pseudo_label", "a")
    handler = handler_of(tmp_path, number=3)
    nothing = torch.zeros(2, 8, 6, 6)
    nothing[0] = 1
    handler.visit(replace(a_scan(), probabilities=nothing))
    assert not handler.store.has("pseudo_label", "a") and handler.labeler.similarity == []
    assert handler._progress.done == {"a": [0.0, 0.0] if drawn else []}


def test_annotated_scans_can_be_left_to_another_handler(tmp_path):
    store = AnnotationStore(tmp_path)
    kept = np.ones((8, 6, 6), np.uint8)
    store.write("pseudo_label", "a", kept, np.eye(4))
    annotation = np.full((8, 6, 6), 255, np.uint8)
    annotation[4] = 0
    found, labeler = labelled(tmp_path, a_scan(), annotation, annotated=False)
    assert (found == kept).all() and len(labeler.similarity) == 1


def handler_of(folder, iteration=5, number=2):
    network = torch.nn.Linear(2, 2)
    with torch.no_grad():
        network.weight.fill_(iteration)
        network.bias.fill_(0)
    handler = PseudoLabelHandler(
        SimpleNamespace(features=False, network=network),
        labeler=Shifted(),
        ledger=Ledger(folder),
        store=AnnotationStore(folder),
        num_classes=2,
    )
    handler.begin(SimpleNamespace(state=SimpleNamespace(iteration=iteration)), number)
    return handler


def test_an_interrupted_round_goes_on_with_the_next_scan(tmp_path):
    scans = [replace(a_scan(), scan=name) for name in "abc"]
    first = handler_of(tmp_path)
    first.visit(scans[0])
    first.visit(scans[1])

    again = handler_of(tmp_path)
    for scan in scans:
        again.visit(scan)
    assert len(again.labeler.similarity) == 1
    assert all(again.store.has("pseudo_label", scan.scan) for scan in scans)


@pytest.mark.parametrize("other", [{"iteration": 6}, {"number": 3}])
def test_another_round_or_teacher_labels_all_scans_again(tmp_path, other):
    handler_of(tmp_path).visit(a_scan())
    again = handler_of(tmp_path, **other)
    again.visit(a_scan())
    assert len(again.labeler.similarity) == 1


def test_a_line_that_was_cut_short_does_not_count(tmp_path):
    first = handler_of(tmp_path)
    for name in "ab":
        first.visit(replace(a_scan(), scan=name))
    (file,) = tmp_path.glob("round_*.jsonl")
    file.write_text(file.read_text()[:-9])
    again = handler_of(tmp_path)
    for name in "abc":
        again.visit(replace(a_scan(), scan=name))
    assert len(again.labeler.similarity) == 2
    assert list(handler_of(tmp_path)._progress.done) == ["a", "b", "c"]


def test_where_some_classes_only_were_annotated_the_others_stay(tmp_path):
    """Class 1 was not annotated: what the labeler says of it stays on the annotated background, class 2 does not."""
    scan = a_scan()
    annotation = np.zeros((8, 6, 6), np.uint8)
    annotation[0] = 2
    entry = LedgerEntry("a", 0, 0, "first", None, None, annotation.size, "datalist", classes=(2,))
    Ledger(tmp_path).add(entry)
    shifted = scan.probabilities.argmax(dim=0).roll(1, dims=0).numpy()
    found, _ = labelled(tmp_path, scan, annotation)
    assert (found[0] == 2).all()
    assert (found[1:] == shifted[1:]).all() and (found[1:] == 1).any()
