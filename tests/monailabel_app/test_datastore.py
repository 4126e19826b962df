"""Labels are saved whole or not at all."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from fastapi import HTTPException

from tests.bundles.workflows import ROOT
from tests.samples import save


@pytest.fixture
def datastore(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "monailabel_app")])
    from lib.datastore import StudyDatastore

    save(tmp_path / "study" / "a.nii.gz", np.zeros((4, 5, 6), np.float32))
    monkeypatch.setattr("monailabel.config.settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD", False)
    return StudyDatastore(str(tmp_path / "study"))


def label(tmp_path, value):
    return str(save(tmp_path / f"label_{value}.nii.gz", np.full((4, 5, 6), value, np.uint8)))


def test_a_full_disk_leaves_the_former_label(datastore, tmp_path, monkeypatch):
    datastore.save_label("a", label(tmp_path, 1), "final", {"label_info": [{"name": "x"}]})
    file, listed = tmp_path / "study/labels/final/a.nii.gz", tmp_path / "study/datastore_v2.json"
    before = file.read_bytes(), listed.read_text()

    def full(source, target):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", full)
        with pytest.raises(HTTPException) as refused:
            datastore.save_label("a", label(tmp_path, 2), "final", {})
    assert refused.value.status_code == 507
    assert "No space left" in refused.value.detail
    assert (file.read_bytes(), listed.read_text()) == before
    assert [path.name for path in file.parent.iterdir()] == ["a.nii.gz"]
    datastore.save_label("a", label(tmp_path, 2), "final", {})
    assert file.read_bytes() != before[0]


def test_a_list_that_cannot_be_written_stays_as_it_is(datastore, tmp_path, monkeypatch):
    datastore.save_label("a", label(tmp_path, 1), "final", {})
    listed = tmp_path / "study/datastore_v2.json"
    before = listed.read_text()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        with pytest.raises(HTTPException):
            datastore.save_label("a", label(tmp_path, 2), "final", {})
    assert listed.read_text() == before
    assert json.loads(before)["objects"]["a"]["labels"]["final"]


@pytest.mark.parametrize(("scan", "name", "status"), [("nobody", "l.nii.gz", 404), ("a", "l.nrrd", 400)])
def test_what_cannot_be_a_label_is_refused(datastore, tmp_path, scan, name, status):
    (tmp_path / name).write_bytes(b"label")
    with pytest.raises(HTTPException) as refused:
        datastore.save_label(scan, str(tmp_path / name), "final", {})
    assert refused.value.status_code == status
    assert not list((tmp_path / "study/labels/final").iterdir())
