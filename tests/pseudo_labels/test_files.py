from __future__ import annotations

import json

import numpy as np
import pytest

from common.annotations import AnnotationStore
from common.cohort.cohort import Scan
from common.pseudo_labels import PseudoLabelFolder, most_confident, take_pseudo_labels

AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])
SHAPE = (4, 5, 6)


def scans(names: str, tmp_path) -> list[Scan]:
    return [Scan(name, tmp_path / f"{name}.nii.gz") for name in names]


def filled(folder, scores: dict[str, float]) -> PseudoLabelFolder:
    made = PseudoLabelFolder(folder, {"network": "x"})
    for number, (name, score) in enumerate(scores.items()):
        sure = np.linspace(0, 1, np.prod(SHAPE)).reshape(SHAPE)
        made.add(name, np.full(SHAPE, number % 2, np.uint8), sure, AFFINE, score)
    return made


def test_what_is_added_is_read_again(tmp_path) -> None:
    filled(tmp_path, {"a": 0.5, "b": 0.75})
    again = PseudoLabelFolder(tmp_path)
    assert {scan: entry["confidence"] for scan, entry in again.scans.items()} == {"a": 0.5, "b": 0.75}
    label, affine = again.label("b")
    assert (label == 1).all() and np.allclose(affine, AFFINE)
    label, _ = again.label("b", threshold=0.5)
    assert (label == 255).mean() == pytest.approx(0.5, abs=0.01)
    assert json.loads((tmp_path / "pseudo_labels.json").read_text())["made_by"] == {"network": "x"}


def test_other_settings_do_not_mix(tmp_path) -> None:
    filled(tmp_path, {"a": 0.5})
    with pytest.raises(ValueError, match=r"made with \{'network': 'x'\}, now it is \{'network': 'y'\}"):
        PseudoLabelFolder(tmp_path, {"network": "y"})


def test_the_most_confident_share_is_taken(tmp_path) -> None:
    filled(tmp_path / "labels", {"a": 0.5, "b": 0.9, "c": 0.7, "d": 0.1})
    store = AnnotationStore(tmp_path / "run")
    chosen = most_confident(tmp_path / "labels", scans("abcd", tmp_path), share=0.5)
    assert list(chosen.items()) == [("b", 0.9), ("c", 0.7)]
    assert not store.folder.exists()
    take_pseudo_labels(tmp_path / "labels", chosen, store=store)
    assert [store.has("pseudo_label", name) for name in "abcd"] == [False, True, True, False]
    assert (store.read("pseudo_label", "b") == 1).all()


def test_missing_ones_are_named(tmp_path) -> None:
    filled(tmp_path / "labels", {"a": 0.5})
    wanted = scans("abc", tmp_path)
    with pytest.raises(ValueError, match="found none of b, c"):
        most_confident(tmp_path / "labels", wanted)
    assert most_confident(tmp_path / "labels", wanted, missing="skip") == {"a": 0.5}


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"share": 0}, "share must"), ({"missing": "x"}, "refuse or skip")],
)
def test_bad_settings(tmp_path, settings, message) -> None:
    filled(tmp_path / "labels", {"a": 0.5})
    with pytest.raises(ValueError, match=message):
        most_confident(tmp_path / "labels", [], **settings)


def test_a_threshold_that_is_no_confidence(tmp_path) -> None:
    filled(tmp_path / "labels", {"a": 0.5})
    with pytest.raises(ValueError, match=r"threshold must lie in 0\.\.1, got 2"):
        take_pseudo_labels(tmp_path / "labels", "a", store=AnnotationStore(tmp_path), threshold=2)


def test_no_folder(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected a folder of pseudo-labels with pseudo_labels.json"):
        most_confident(tmp_path / "none", [])
