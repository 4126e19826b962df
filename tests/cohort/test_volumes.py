from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest

from common.cohort.volumes import read_labels_ras, read_ras, same_grid, spacing, to_ras
from tests.samples import save

CODES = ["".join(code) for axes in itertools.permutations(("RL", "AP", "SI")) for code in itertools.product(*axes)]


@pytest.mark.parametrize("code", CODES)
def test_every_orientation_comes_back_as_ras_with_world_coordinates_kept(code):
    affine = nib.orientations.inv_ornt_aff(
        nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(code)),
        (4, 5, 6),
    )
    affine = np.array([[0.5, 0.02, 0, 7], [0, 0.6, 0.03, 8], [0.01, 0, 2, 9], [0, 0, 0, 1]]) @ affine
    voxels = np.arange(120).reshape(4, 5, 6)
    ras, ras_affine = to_ras(voxels, affine)
    assert nib.aff2axcodes(ras_affine) == ("R", "A", "S")
    for value in (0, 17, 119):
        before = affine @ [*np.argwhere(voxels == value)[0], 1]
        after = ras_affine @ [*np.argwhere(ras == value)[0], 1]
        assert np.allclose(before, after)


def test_lps_by_hand(tmp_path):
    voxels = np.zeros((2, 3, 4), np.uint8)
    voxels[0, 2, 3] = 1
    path = save(tmp_path / "a.nii.gz", voxels, np.diag([-1.0, -2.0, 3.0, 1.0]))
    ras, affine = read_labels_ras(path)
    assert np.argwhere(ras).tolist() == [[1, 0, 3]]
    assert np.array_equal(affine, [[1, 0, 0, -1], [0, 2, 0, -4], [0, 0, 3, 0], [0, 0, 0, 1]])
    assert spacing(affine).tolist() == [1, 2, 3]


def test_scaled_images_are_scaled(tmp_path):
    image = nib.Nifti1Image(np.full((2, 2, 2), 3, np.int16), np.eye(4))
    image.header.set_slope_inter(2, 1)
    path = tmp_path / "a.nii"
    nib.save(image, path)
    with open(path, "r+b") as file:
        file.seek(112)
        file.write(np.array([2.0, 1.0], np.float32).tobytes())
    raw = np.asarray(nib.load(path).dataobj.get_unscaled())
    assert np.array_equal(read_ras(path)[0], raw * 2.0 + 1)


@pytest.mark.parametrize("value", [-1, 256, 0.5, np.nan])
def test_labels_must_be_small_whole_numbers(tmp_path, value):
    path = save(tmp_path / "a.nii", np.full((2, 2, 2), value, np.float32))
    with pytest.raises(ValueError, match="whole numbers from 0 to 255"):
        read_labels_ras(path)


def test_same_grid_allows_a_tenth_of_a_voxel():
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    near, far = affine.copy(), affine.copy()
    near[0, 3], far[0, 3] = 0.1, 0.3
    assert same_grid((4, 4, 4), affine, (4, 4, 4), near)
    assert not same_grid((4, 4, 4), affine, (4, 4, 4), far)
    assert not same_grid((4, 4, 4), affine, (4, 4, 5), affine)
    scaled = np.diag([2.002, 2.0, 2.0, 1.0])
    assert same_grid((4, 4, 4), affine, (4, 4, 4), scaled)
    assert not same_grid((400, 4, 4), affine, (400, 4, 4), scaled)
