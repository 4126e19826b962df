from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from common.prepare.itk_images import read_header, read_image
from tests.samples import save

itk = pytest.importorskip("itk")

SHAPE = (5, 6, 7)
ORIENTATIONS = [
    "".join(codes)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for codes in itertools.product(*axes)
]  # fmt: skip


def oblique(degrees=20.0):
    """Voxels of 0.7 x 1.5 x 3 mm, turned about the third axis."""
    angle = np.deg2rad(degrees)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, :3] *= [0.7, 1.5, 3.0]
    affine[:3, 3] = -12, 30.5, 7
    return affine


def test_nifti_files_of_all_48_orientations_as_nibabel_reads_them(tmp_path):
    assert len(set(ORIENTATIONS)) == 48
    voxels = np.random.default_rng(0).integers(-99, 999, SHAPE).astype(np.int16)
    for codes in ORIENTATIONS:
        turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(tuple(codes)))
        affine = oblique() @ inv_ornt_aff(turn, SHAPE)
        path = save(tmp_path / "scan.nii", voxels, affine)
        assert nib.aff2axcodes(affine) == tuple(codes)
        read, found = read_image(path)
        assert np.array_equal(read, voxels) and read.dtype == np.int16
        assert np.allclose(found, affine, atol=1e-5)


@pytest.mark.parametrize("ending", ["nrrd", "nhdr", "mha", "mhd"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_files_that_itk_has_written(tmp_path, ending, kind):
    """In ITK's axes, towards left and posterior, the first two rows of the affine have the other sign."""
    if kind == np.int32:
        array = np.zeros(SHAPE[::-1], np.float64)
        array[0, 0, 0] = 2**24 + 1  # no float32
    else:
        array = np.random.default_rng(1).integers(0, 200, SHAPE[::-1]).astype(kind)
    image = itk.image_from_array(array)
    affine = oblique()
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    image.SetSpacing([0.7, 1.5, 3.0])
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection(itk.matrix_from_array(lps[:3, :3] / [0.7, 1.5, 3.0]))
    itk.imwrite(image, str(tmp_path / f"scan.{ending}"))
    voxels, found = read_image(tmp_path / f"scan.{ending}")
    assert voxels.shape == SHAPE and np.array_equal(voxels, array.T)
    assert np.allclose(found, affine, atol=1e-5)


def test_an_nrrd_file_by_hand(tmp_path):
    """Its space is RAS, which ITK turns to its own and we turn back; the first axis is the fastest."""
    header = [
        "NRRD0004", "type: short", "dimension: 3", "space: right-anterior-superior", "sizes: 2 3 2",
        "space directions: (2,0,0) (0,3,0) (0,0,4)", "kinds: domain domain domain", "endian: little",
        "encoding: ascii", "space origin: (5,6,7)", "", " ".join(map(str, range(12))), "",
    ]  # fmt: skip
    (tmp_path / "scan.nrrd").write_text("\n".join(header))
    voxels, affine = read_image(tmp_path / "scan.nrrd")
    assert voxels[:, 0, 0].tolist() == [0, 1] and voxels[0, :, 0].tolist() == [0, 2, 4] and voxels[0, 0, 1] == 6
    assert np.allclose(affine, [[2, 0, 0, 5], [0, 3, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]])


def test_a_meta_image_by_hand(tmp_path):
    """MetaImage is in LPS: x and y change their sign."""
    header = [
        "ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False",
        "TransformMatrix = 1 0 0 0 1 0 0 0 1", "Offset = 5 6 7", "ElementSpacing = 2 3 4", "DimSize = 2 1 1",
        "ElementType = MET_SHORT", "ElementDataFile = LOCAL", "",
    ]  # fmt: skip
    (tmp_path / "scan.mha").write_bytes("\n".join(header).encode() + np.array([7, -8], "<i2").tobytes())
    voxels, affine = read_image(tmp_path / "scan.mha")
    assert voxels.ravel().tolist() == [7, -8]
    assert np.allclose(affine, [[-2, 0, 0, -5], [0, -3, 0, -6], [0, 0, 4, 7], [0, 0, 0, 1]])


def test_what_is_no_3d_image(tmp_path):
    (tmp_path / "empty.nrrd").touch()
    (tmp_path / "words.mha").write_text("hello")
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    itk.imwrite(itk.image_from_array(array[0]), str(tmp_path / "flat.nrrd"))
    itk.imwrite(itk.image_from_array(np.stack([array, array])), str(tmp_path / "two.nrrd"))
    itk.imwrite(itk.image_from_array(array[None]), str(tmp_path / "one.nrrd"))
    itk.imwrite(itk.image_from_array(np.stack([array] * 2, -1), is_vector=True), str(tmp_path / "vector.nrrd"))
    itk.imwrite(itk.image_from_array(array), str(tmp_path / "cut.nrrd"))
    (tmp_path / "cut.nrrd").write_bytes((tmp_path / "cut.nrrd").read_bytes()[:-6])
    for name, message in {
        "empty.nrrd": "found an empty file",
        "words.mha": "expected an image that ITK can read",
        "flat.nrrd": r"expected a 3D volume with 1 channel, found shape \(4, 3\)",
        "two.nrrd": r"expected a 3D volume with 1 channel, found shape \(4, 3, 2, 2\) with 2",
        "vector.nrrd": r"expected a 3D volume with 1 channel, found shape \(4, 3, 2\) with 2",
        "cut.nrrd": "found a truncated or damaged one",
    }.items():
        with pytest.raises(ValueError, match=rf"{name}: .*{message}|{name}: {message}"):
            read_image(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "nowhere.nrrd")
    assert np.array_equal(read_image(tmp_path / "one.nrrd")[0], array.T)


def test_the_error_without_itk_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "itk", None)
    (tmp_path / "scan.nrrd").write_text("NRRD0004")
    with pytest.raises(ImportError, match="pip install itk-io"):
        read_image(tmp_path / "scan.nrrd")
