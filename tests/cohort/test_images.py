"""Which images inference takes from a folder."""

import pytest

from common.cohort import images, write_datalist


def test_nifti_files_of_a_folder(tmp_path):
    for name in ("b.nii.gz", "a.nii", "notes.txt"):
        (tmp_path / name).touch()
    assert [item["scan"] for item in images(tmp_path)] == ["a", "b"]
    assert images(tmp_path)[0]["image"] == str(tmp_path / "a.nii")


@pytest.mark.parametrize(("test", "expected"), [([{"image": "t.nii"}], ["t"]), ([], ["x", "v"])])
def test_test_scans_of_a_cohort_or_all(tmp_path, test, expected):
    splits = {"training": [{"image": "x.nii"}], "validation": [{"image": "v.nii"}], "test": test}
    write_datalist(tmp_path, name="n", labels={1: "one"}, splits=splits)
    assert [item["scan"] for item in images(tmp_path)] == expected


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="found none"):
        images(tmp_path)


def test_one_scan_twice(tmp_path):
    for name in ("a.nii.gz", "a.nii"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="two of a"):
        images(tmp_path)
