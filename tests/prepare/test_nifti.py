from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from common.cohort import CohortError, check_cohort
from common.prepare import prepare_nifti
from tests.samples import save, states


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(5):
        affine = np.diag([1.0, 1.0, 1.0 + number / 2, 1])
        label = np.zeros((8, 8, 6), np.uint8)
        label[2:6, 2:6, 1:5] = 1 + number % 2
        save(tmp_path / f"images/s{number}.nii.gz", rng.integers(-9, 999, label.shape).astype(np.int16), affine)
        if number != 1:
            save(tmp_path / f"labels/s{number}.nii", label, affine)
    return tmp_path


def ids(scans):
    return [scan.id for scan in scans]


def test_splits_and_classes(source):
    options = {"classes": ["liver", "spleen"], "name": "bellies", "progress": False}
    cohort = prepare_nifti(source / "images", source / "target", source / "labels", validation=1, test=1, **options)
    assert (ids(cohort.training), ids(cohort.validation), ids(cohort.test)) == (["s0", "s1", "s2"], ["s4"], ["s3"])
    assert (cohort.labels, cohort.name) == ({1: "liver", 2: "spleen"}, "bellies")
    assert cohort.scan("s1").label is None
    assert nib.load(cohort.scan("s0").image).get_data_dtype() == np.int16
    assert np.array_equal(
        nib.load(cohort.scan("s0").image).get_fdata(), nib.load(source / "images/s0.nii.gz").get_fdata()
    )


def test_a_common_spacing_makes_the_cohort_valid(source):
    options = {"classes": {1: "a", 2: "b"}, "progress": False}
    mixed = prepare_nifti(source / "images", source / "mixed", source / "labels", **options)
    with pytest.raises(CohortError, match="expected a spacing like the other"):
        check_cohort(mixed, progress=False)
    even = prepare_nifti(source / "images", source / "even", source / "labels", spacing=2, **options)
    check_cohort(even, progress=False)
    before = states(source / "even")
    prepare_nifti(source / "images", source / "even", source / "labels", spacing=2, **options)
    assert states(source / "even") == before


def test_without_labels_everything_is_for_training_or_test(source):
    cohort = prepare_nifti(source / "images", source / "target", test=2, progress=False)
    assert (ids(cohort.training), ids(cohort.test)) == (["s0", "s1", "s2"], ["s3", "s4"])
    assert all(scan.label is None for scan in cohort.scans)


def test_bad_input_is_all_named_before_anything_is_written(source):
    images, labels, target = source / "images", source / "labels", source / "target"
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        prepare_nifti(source / "nowhere", target)
    with pytest.raises(FileNotFoundError, match="expected NIfTI files"):
        prepare_nifti(source, target)
    with pytest.raises(ValueError, match="validation must be 0 to 4"):
        prepare_nifti(images, target, labels, validation=5)
    with pytest.raises(ValueError, match="test must be 0 to 3"):
        prepare_nifti(images, target, labels, validation=1, test=4)
    save(labels / "s0.nii", np.ones((8, 8, 5), np.uint8))
    save(images / "s3.nii.gz", np.zeros((4, 4, 4), np.int16))
    (images / "s2.nii.gz").write_bytes(b"x")
    with pytest.raises(CohortError) as caught:
        prepare_nifti(images, target, labels, progress=False)
    assert len(caught.value.problems) == 3
    save(labels / "s7.nii", np.ones((8, 8, 5), np.uint8))
    with pytest.raises(CohortError, match=r"s7\.nii: expected an image of this name"):
        prepare_nifti(images, target, labels, progress=False)
    save(images / "s0.nii", np.zeros((4, 4, 4), np.int16))
    with pytest.raises(CohortError, match="a name of its own"):
        prepare_nifti(images, target, progress=False)
    assert not target.exists()
