"""What a training item is given to learn from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from common.annotations import Ledger, LedgerEntry, LoadAnnotationsd
from common.annotations.store import AnnotationStore


def item(shape=(3, 4, 5)):
    return {"scan": "s1", "image": torch.zeros(1, *shape)}


def test_nothing_stored_is_nothing_annotated(tmp_path):
    loaded = LoadAnnotationsd(AnnotationStore(tmp_path))(item())
    for key in ("annotation", "pseudo_label"):
        assert loaded[key].dtype == torch.uint8
        assert loaded[key].shape == (1, 3, 4, 5)
        assert (loaded[key] == 255).all()


def test_reads_what_is_there_now(tmp_path):
    store = AnnotationStore(tmp_path)
    load = LoadAnnotationsd(store)
    for number in (1, 2):
        store.write("pseudo_label", "s1", np.full((3, 4, 5), number, np.uint8), np.eye(4))
        loaded = load(item())
        assert (loaded["pseudo_label"] == number).all()
        assert (loaded["annotation"] == 255).all()


def test_writing_to_the_item_leaves_the_store_alone(tmp_path):
    store = AnnotationStore(tmp_path)
    store.write("annotation", "s1", np.zeros((3, 4, 5), np.uint8), np.eye(4))
    LoadAnnotationsd(store)(item())["annotation"][:] = 9
    assert not np.asarray(store.read("annotation", "s1")).any()


def test_another_grid(tmp_path):
    store = AnnotationStore(tmp_path)
    store.write("annotation", "s1", np.zeros((3, 4, 6), np.uint8), np.eye(4))
    with pytest.raises(ValueError, match=r"s1\.nii: expected the image's grid \(3, 4, 5\), found \(3, 4, 6\)"):
        LoadAnnotationsd(store)(item())


def test_classes_that_were_annotated(tmp_path):
    store, ledger = AnnotationStore(tmp_path), Ledger(tmp_path)
    load = LoadAnnotationsd(store, ledger=ledger, num_classes=4)
    entry = LedgerEntry("s2", 0, 0, "first", None, None, 60, "datalist")
    ledger.add(entry)
    assert "annotation_classes" not in load(item())
    ledger.add(replace(entry, scan="s1", classes=(2,)))
    assert load(item())["annotation_classes"].tolist() == [1, 0, 1, 0]
    assert load(item() | {"scan": "s2"})["annotation_classes"].tolist() == [1, 1, 1, 1]
    assert load(item() | {"scan": "unlabelled"})["annotation_classes"].tolist() == [1, 1, 1, 1]
    assert load(item())["annotation_classes"].dtype == torch.uint8
    with pytest.raises(ValueError, match="num_classes must be given together with a ledger"):
        LoadAnnotationsd(store, ledger=ledger)
