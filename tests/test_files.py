from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from common.files import read_json, replacing, scan_name, write_json, write_nifti


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
