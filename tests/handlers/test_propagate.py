"""Annotated scans get their pseudo-labels from the expert's slices, when they are annotated."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.annotations import AnnotationStore
from common.handlers import PropagatedLabels

AFFINE = np.diag([2.0, 1.0, 0.5, 1.0])


class Pool:
    """A pool of three scans that says which of them it was asked for."""

    def __init__(self):
        self.listeners, self.asked = [], []

    def listen(self, listener):
        self.listeners.append(listener)

    def scans(self, what, scans):
        self.asked.append(list(scans))
        for scan in scans:
            yield scan, MetaTensor(torch.zeros(1, 4, 4, 4), affine=torch.from_numpy(AFFINE))


class Filled:
    """Fills what is not annotated with the class 1, and remembers its arguments."""

    views = ("axial", "coronal", "sagittal")

    def __init__(self):
        self.given = []

    def __call__(self, image, annotation, *, spacing, seed, num_classes):
        self.given.append((tuple(image.shape), spacing, seed, num_classes))
        return torch.from_numpy(np.where(annotation == 255, 1, annotation))


LATER = [
    SimpleNamespace(scan="b", round=1, slices={"sagittal": 1}),
    SimpleNamespace(scan="c", round=1, slices=None),
    SimpleNamespace(scan="d", round=1, slices={"sagittal": 2}),
]
"""What a round adds: a slice, a dense label, and a slice that is not complete."""


@pytest.fixture
def handler(tmp_path):
    store = AnnotationStore(tmp_path)
    for place, scan in enumerate("abc"):
        annotation = np.full((4, 4, 4), 255, np.uint8)
        annotation[place] = 0
        store.write("annotation", scan, annotation, AFFINE)
    annotation[:, 0] = 255
    store.write("annotation", "d", annotation, AFFINE)
    entries = [SimpleNamespace(scan="a", round=0, slices={"sagittal": 0})]
    pool = Pool()
    made = PropagatedLabels(
        pool, propagation=Filled(), ledger=SimpleNamespace(entries=entries), store=store, num_classes=2, seed=5
    )
    assert pool.listeners == []
    return made


def engine(stopped=False):
    return SimpleNamespace(should_terminate=stopped)


def test_each_scan_when_it_is_annotated_but_for_dense_labels(handler):
    handler.start(engine())
    assert handler.store.has("pseudo_label", "a") and not handler.store.has("pseudo_label", "b")
    handler.ledger.entries += LATER
    label = np.array(handler.store.read("pseudo_label", "a"))
    assert (label[0] == 0).all() and (label[1:] == 1).all()
    handler.begin(engine(), 1)
    handler.visit(None)
    handler.end(engine(), 1)
    assert handler.store.has("pseudo_label", "b") and not handler.store.has("pseudo_label", "c")
    assert handler.pool.asked == [["a"], ["b"]]
    shapes, spacings, seeds, classes = zip(*handler.propagation.given, strict=True)
    assert set(shapes) == {(4, 4, 4)} and set(spacings) == {(2.0, 1.0, 0.5)} and set(classes) == {2}
    assert len(set(seeds)) == 2


def test_scans_without_a_slice_in_a_view_of_the_propagation_are_left_out(handler):
    handler.propagation.views = ("axial",)
    handler.start(engine())
    assert handler.pool.asked == [[]]


def test_a_resumed_run_does_not_repeat_the_first_scans_nor_do_anything_while_it_waits_for_people(handler):
    handler.start(engine(stopped=True))
    assert handler.pool.asked == []
    handler.start(engine())
    handler.start(engine())
    assert handler.pool.asked == [["a"], []]


def test_a_corrected_annotation_is_propagated_again_when_training_starts(handler):
    handler.start(engine())
    corrected = np.array(handler.store.read("annotation", "a"))
    corrected[0, 0] = 1
    handler.store.replace("a", corrected, AFFINE)
    handler.start(engine())
    assert handler.pool.asked == [["a"], ["a"]]
    np.testing.assert_array_equal(handler.store.read("pseudo_label", "a")[0], corrected[0])
    handler.start(engine())
    assert handler.pool.asked[-1] == []


def test_annotations_of_another_run_are_propagated_before_training_with_the_prompts_of_their_rounds(handler):
    handler.start(engine())
    handler.ledger.entries += LATER
    handler.end(engine(), 1)
    expected = handler.propagation.given
    for scan in "ab":
        handler.store.remove_pseudo_label(scan)
    handler.propagation.given = []
    handler.start(engine())
    assert handler.pool.asked[-1] == ["a", "b"] and handler.propagation.given == expected
