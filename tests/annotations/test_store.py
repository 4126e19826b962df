from __future__ import annotations

import numpy as np
import pytest

from common.annotations import AnnotationStore
from common.cohort import read_ras
from tests.samples import states

AFFINE = np.array([[0.625, 0, 0, -3], [0, 0.625, 0, 4], [0, 0, 1.25, 5], [0, 0, 0, 1.0]])
ARRAY = np.random.default_rng(0).integers(0, 3, (4, 5, 6), dtype=np.uint8)


def test_round_trip_is_a_read_only_memory_map(tmp_path):
    store = AnnotationStore(tmp_path)
    assert store.read("annotation", "a") is None
    store.write("annotation", "a", ARRAY, AFFINE)
    read = store.read("annotation", "a")
    assert isinstance(read, np.memmap)
    assert read.dtype == np.uint8
    assert not read.flags.writeable
    assert np.array_equal(read, ARRAY)
    assert np.allclose(read_ras(store.path("annotation", "a"))[1], AFFINE)
    assert store.has("annotation", "a")
    assert not store.has("pseudo_label", "a")


def test_ids_with_dots_stay_apart(tmp_path):
    store = AnnotationStore(tmp_path)
    store.write("annotation", "a.1", ARRAY, AFFINE)
    store.write("annotation", "a.2", ARRAY * 0, AFFINE)
    assert np.array_equal(store.read("annotation", "a.1"), ARRAY)


def test_an_annotation_is_never_overwritten(tmp_path):
    store = AnnotationStore(tmp_path)
    store.write("annotation", "a", ARRAY, AFFINE)
    store.write("annotation", "a", ARRAY.copy(), AFFINE)
    with pytest.raises(FileExistsError, match="never overwritten"):
        store.write("annotation", "a", ARRAY * 0, AFFINE)
    with pytest.raises(FileExistsError, match="never overwritten"):
        store.write("annotation", "a", ARRAY, np.eye(4))
    assert np.array_equal(store.read("annotation", "a"), ARRAY)


def test_a_corrected_annotation_takes_the_place_and_the_former_ones_are_kept(tmp_path):
    store = AnnotationStore(tmp_path)
    assert store.replace("a", ARRAY, AFFINE)
    reading = store.read("annotation", "a")
    assert store.replace("a", ARRAY + 1, AFFINE) and store.replace("a", ARRAY + 2, AFFINE)
    assert np.array_equal(reading, ARRAY), "who reads the former one keeps it"
    before = states(tmp_path)
    assert not store.replace("a", ARRAY + 2, AFFINE)
    assert states(tmp_path) == before and sorted(before) == [
        "annotation/a.nii",
        "annotation/history/a.1.nii",
        "annotation/history/a.2.nii",
    ]
    assert np.array_equal(store.read("annotation", "a"), ARRAY + 2)
    for number in (1, 2):
        assert np.array_equal(read_ras(tmp_path / f"annotation/history/a.{number}.nii")[0], ARRAY + number - 1)
    store.replace("a", ARRAY, AFFINE)
    assert np.array_equal(read_ras(tmp_path / "annotation/history/a.3.nii")[0], ARRAY + 2)
    with pytest.raises(ValueError, match="3D array of uint8"):
        store.replace("a", ARRAY[0], AFFINE)


def test_a_full_disk_leaves_the_former_annotation(tmp_path, monkeypatch):
    store = AnnotationStore(tmp_path)
    store.replace("a", ARRAY, AFFINE)
    with monkeypatch.context() as patch:
        patch.setattr("nibabel.save", lambda *_: (_ for _ in ()).throw(OSError("No space left on device")))
        for _ in range(2):
            with pytest.raises(OSError, match="No space left"):
                store.replace("a", ARRAY + 1, AFFINE)
    assert np.array_equal(store.read("annotation", "a"), ARRAY)
    store.replace("a", ARRAY + 1, AFFINE)
    assert sorted(states(tmp_path)) == ["annotation/a.nii", "annotation/history/a.1.nii"]


def test_a_pseudo_label_is_replaced_and_old_readers_keep_theirs(tmp_path):
    store = AnnotationStore(tmp_path)
    store.write("pseudo_label", "a", ARRAY, AFFINE)
    old = store.read("pseudo_label", "a")
    store.write("pseudo_label", "a", ARRAY * 0, AFFINE)
    assert np.array_equal(old, ARRAY)
    assert not store.read("pseudo_label", "a").any()
    assert len(list((tmp_path / "pseudo_label").iterdir())) == 1


@pytest.mark.parametrize("array", [ARRAY.astype(np.int64), ARRAY[None]])
def test_only_volumes_of_uint8(tmp_path, array):
    with pytest.raises(ValueError, match="3D array of uint8"):
        AnnotationStore(tmp_path).write("annotation", "a", array, AFFINE)
    assert not list(tmp_path.iterdir())


def test_unknown_kind_and_damaged_file(tmp_path):
    store = AnnotationStore(tmp_path)
    with pytest.raises(ValueError, match="annotation, pseudo_label, got 'label'"):
        store.read("label", "a")
    store.write("annotation", "a", ARRAY, AFFINE)
    path = store.path("annotation", "a")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"a\.nii: expected a complete NIfTI"):
        store.read("annotation", "a")
