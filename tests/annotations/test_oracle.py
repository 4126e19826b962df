from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from common.annotations import OracleAnnotator
from common.cohort import CohortError, Scan
from tests.samples import save

LABEL = np.zeros((8, 9, 10), np.uint8)
LABEL[2:5, 3:8, 6:8] = 1
LABEL[3, 4, 7] = 2


@pytest.mark.parametrize("code", ["RAS", "LPS", "ASL", "IPR"])
def test_a_cross_label_is_cut_in_ras_whatever_the_files_orientation(tmp_path, code):
    affine = np.diag([0.5, 0.6, 0.7, 1.0])
    affine[:3, 3] = (-7, 8, 9)
    ras = nib.Nifti1Image(LABEL, affine)
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(code))
    nib.save(ras.as_reoriented(turn), tmp_path / "a.nii.gz")

    annotation = OracleAnnotator().annotate([Scan("a", tmp_path / "x", tmp_path / "a.nii.gz")], round=0)["a"]

    assert annotation.slices == {"axial": 6, "coronal": 5, "sagittal": 3}
    expected = np.full_like(LABEL, 255)
    expected[3], expected[:, 5], expected[:, :, 6] = LABEL[3], LABEL[:, 5], LABEL[:, :, 6]
    assert np.array_equal(annotation.array, expected)
    assert annotation.array.dtype == np.uint8
    assert np.allclose(annotation.affine, affine, atol=1e-6)
    assert annotation.voxels == 8 * 9 * 10 - 7 * 8 * 9
    assert annotation.annotator == "oracle"


def test_some_views_alone(tmp_path):
    scan = Scan("a", tmp_path / "x", save(tmp_path / "a.nii", LABEL))
    annotation = OracleAnnotator(views=["sagittal", "axial"]).annotate([scan], round=0)["a"]
    assert annotation.slices == {"axial": 6, "sagittal": 3}
    expected = np.full_like(LABEL, 255)
    expected[3], expected[:, :, 6] = LABEL[3], LABEL[:, :, 6]
    assert np.array_equal(annotation.array, expected)
    for wrong in ([], ["axial", "oblique"]):
        with pytest.raises(ValueError, match="views must be some of axial, coronal, sagittal"):
            OracleAnnotator(views=wrong)


def test_dense(tmp_path):
    scan = Scan("a", tmp_path / "x", save(tmp_path / "a.nii", LABEL))
    annotation = OracleAnnotator(dense=True).annotate([scan], round=0)["a"]
    assert annotation.slices is None
    assert np.array_equal(annotation.array, LABEL)
    assert annotation.voxels == LABEL.size


def test_missing_and_empty_labels(tmp_path):
    with pytest.raises(CohortError) as caught:
        OracleAnnotator().annotate([Scan("a", tmp_path / "a.nii"), Scan("b", tmp_path / "b.nii")], round=0)
    assert len(caught.value.problems) == 2
    empty = Scan("c", tmp_path / "x", save(tmp_path / "c.nii", LABEL * 0))
    with pytest.raises(CohortError, match=r"c\.nii: expected a label with foreground"):
        OracleAnnotator().annotate([empty], round=0)
