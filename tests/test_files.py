from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from common.files import (
    RECORD,
    claim,
    digest,
    read_checkpoint,
    read_json,
    replacing,
    scan_name,
    write_json,
    write_nifti,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_round_trip_and_refusal_of_nan(tmp_path):
    path = tmp_path / "new" / "a.json"
    write_json(path, {"ä": [1, None]})
    assert read_json(path) == {"ä": [1, None]}
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"ä": [1, None]}


def test_nifti_has_type_and_codes(tmp_path):
    affine = np.diag([0.625, 0.625, 1.25, 1])
    write_nifti(tmp_path / "a.nii.gz", np.full((2, 3, 4), -5, np.int16), affine)
    image = nib.load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == np.int16
    assert np.array_equal(image.affine, affine)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1
    assert (np.asanyarray(image.dataobj) == -5).all()


@pytest.mark.parametrize(
    ("path", "name"), [("x/a.nii.gz", "a"), ("a.b.nii", "a.b"), ("./la_1.nii.gz", "la_1"), ("a.nii.nii.gz", "a.nii")]
)
def test_scan_name(path, name):
    assert scan_name(path) == name


def test_a_checkpoint_of_plain_tensors(tmp_path):
    torch.save({"weight": torch.arange(3.0), "epoch": 2}, tmp_path / "a.pt")
    content = read_checkpoint(tmp_path / "a.pt", expected="weights", found="something else")
    assert content["weight"].tolist() == [0, 1, 2] and content["epoch"] == 2


def test_a_checkpoint_that_would_run_code(tmp_path):
    torch.save(nn.Linear(1, 1), tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt: expected weights, found a module \(.*save the state_dict alone\)$"):
        read_checkpoint(tmp_path / "a.pt", expected="weights", found="a module")


@pytest.mark.parametrize("keep", [0, 1, 100])
def test_a_damaged_checkpoint(tmp_path, keep):
    path = tmp_path / "a.pt"
    torch.save({"weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"a\.pt: expected weights, found a damaged file \(\w+Error"):
        read_checkpoint(path, expected="weights", found="a damaged file")


def test_digests_tell_values_types_and_shapes_apart():
    values = torch.arange(6.0)
    others = [values + 1e-6, values.view(2, 3), values.double(), values.int(), values[:5]]
    digests = [digest("a", it) for it in (values, *others)] + [digest("b", values), digest("a", "b", values)]
    assert len(set(digests)) == len(digests)
    assert digest("a", values) == digest("a", values.clone())
    assert digest("ab", "c") != digest("a", "bc")


def test_a_folder_is_claimed_once_and_recognised_again(tmp_path):
    folder = tmp_path / "new" / "folder"
    assert claim(folder, {"seed": 1, "sizes": (2, 3)}) == folder
    assert json.loads((folder / RECORD).read_text()) == {"seed": 1, "sizes": [2, 3]}
    (folder / "result").touch()
    written = (folder / RECORD).stat().st_mtime_ns
    claim(str(folder), {"sizes": [2, 3], "seed": 1})
    assert (folder / RECORD).stat().st_mtime_ns == written


def test_a_folder_with_hidden_files_alone_counts_as_empty(tmp_path):
    (tmp_path / ".DS_Store").touch()
    claim(tmp_path, {"seed": 1})
    assert read_json(tmp_path / RECORD) == {"seed": 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": 2, "size": 3}, "prepared before with seed 1, not 2; choose another folder"),
        ({"seed": 2, "size": 4}, "with seed 1, not 2, size 3, not 4;"),
        ({"seed": 1}, "with size 3, not None;"),
        ({"seed": 1, "size": 3, "name": "a"}, "with name None, not 'a';"),
    ],
)
def test_other_settings_are_refused(tmp_path, settings, message):
    claim(tmp_path, {"seed": 1, "size": 3})
    with pytest.raises(ValueError, match=message):
        claim(tmp_path, settings)
    assert read_json(tmp_path / RECORD) == {"seed": 1, "size": 3}


def test_free_settings_may_change_and_are_kept(tmp_path):
    claim(tmp_path, {"seed": 1, "iterations": 10})
    claim(tmp_path, {"seed": 1, "iterations": 20}, free={"iterations"})
    assert read_json(tmp_path / RECORD) == {"seed": 1, "iterations": 20}
    with pytest.raises(ValueError, match="prepared before with seed 1, not 2;"):
        claim(tmp_path, {"seed": 2, "iterations": 30}, free={"iterations"})
    assert read_json(tmp_path / RECORD) == {"seed": 1, "iterations": 20}


def test_places_that_belong_to_somebody_else(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="expected an empty folder or one prepared before, found other files"):
        claim(tmp_path, {"seed": 1})
    with pytest.raises(ValueError, match=r"notes\.txt: expected a folder, found a file"):
        claim(tmp_path / "notes.txt", {"seed": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    write_json(tmp_path / RECORD, [1])
    with pytest.raises(ValueError, match="expected the settings of a prepared folder, found list"):
        claim(tmp_path, {"seed": 1})
