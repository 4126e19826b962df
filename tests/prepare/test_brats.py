from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from common.cohort import CohortError, check_cohort
from common.prepare import prepare_brats
from tests.samples import DATA, needs_data, save, states

AFFINE = np.array([[-1.0, 0, 0, 0], [0, -1.0, 0, 11], [0, 0, 1.0, 0], [0, 0, 0, 1]])


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("pat_2", "pat_1", "pat_3"):
        folder = tmp_path / "source" / name
        label = rng.integers(0, 5, (8, 12, 6)).astype(np.float32)
        for modality in ("Flair", "T2"):
            image = rng.normal(size=label.shape).astype(np.float32)
            save(folder / f"{modality}_subtrMeanDivStd.nii.gz", image, AFFINE)
        save(folder / "OTMultiClass.nii.gz", label, AFFINE)
    return tmp_path / "source"


def test_whole_tumour_on_the_scans_own_grid(source, tmp_path):
    cohort = prepare_brats(source, tmp_path / "target", progress=False)
    assert [scan.id for scan in cohort.training] == ["pat_1", "pat_2"]
    assert [scan.id for scan in cohort.validation] == ["pat_3"]
    assert cohort.labels == {1: "whole tumour"}
    check_cohort(cohort, simulated=True, progress=False)
    image, label = nib.load(cohort.training[0].image), nib.load(cohort.training[0].label)
    original = nib.load(source / "pat_1/OTMultiClass.nii.gz")
    assert np.array_equal(np.asanyarray(label.dataobj), original.get_fdata() > 0)
    assert np.array_equal(image.get_fdata(), nib.load(source / "pat_1/Flair_subtrMeanDivStd.nii.gz").get_fdata())
    assert np.array_equal(image.affine, AFFINE)


def test_a_second_call_changes_nothing_and_options_matter(source, tmp_path):
    prepare_brats(source, tmp_path / "target", progress=False)
    before = states(tmp_path / "target")
    prepare_brats(source, tmp_path / "target", progress=False)
    assert states(tmp_path / "target") == before
    with pytest.raises(ValueError, match="prepared before with modality 'Flair', not 'T2'"):
        prepare_brats(source, tmp_path / "target", modality="T2", progress=False)
    cohort = prepare_brats(source, tmp_path / "half", spacing=2, validation=0, modality="T2", progress=False)
    check_cohort(cohort, progress=False)
    assert nib.load(cohort.training[0].image).shape == (4, 6, 3)


def test_bad_input(source, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"OTMultiClass\.nii\.gz, found none"):
        prepare_brats(tmp_path, tmp_path / "target")
    with pytest.raises(ValueError, match="validation must be 0 to 2"):
        prepare_brats(source, tmp_path / "target", validation=3)
    (source / "pat_2/Flair_subtrMeanDivStd.nii.gz").unlink()
    (source / "pat_3/Flair_subtrMeanDivStd.nii.gz").write_bytes(b"no")
    with pytest.raises(CohortError) as caught:
        prepare_brats(source, tmp_path / "target")
    assert len(caught.value.problems) == 2
    assert not (tmp_path / "target").exists()


@needs_data("brats2015")
def test_one_real_patient(tmp_path):
    patient = min((DATA / "brats2015").iterdir())
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / patient.name).symlink_to(patient)
    cohort = prepare_brats(tmp_path / "source", tmp_path / "target", spacing=4, validation=0, progress=False)
    check_cohort(cohort, simulated=True, progress=False)
    image = nib.load(cohort.training[0].image)
    assert image.shape == (60, 60, 39)
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
