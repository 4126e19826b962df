from __future__ import annotations

import numpy as np
import pytest

from common.prepare.dicom import PIXEL_DATA, find_series, is_dicom
from common.prepare.find import find_volumes
from tests.prepare.dicom_files import SECONDARY, write_slice, write_stack
from tests.samples import DATA, needs_data

itk = pytest.importorskip("itk")


def series_in(folder):
    found, left_out, damaged = find_series(sorted(path for path in folder.rglob("*") if path.is_file()))
    assert not damaged
    return found, left_out


def problems_in(folder):
    ((one,), _) = series_in(folder)
    (problem,) = one.problems
    with pytest.raises(ValueError, match="expected"):
        one.read()
    return problem


def test_slices_are_stacked_by_position_and_rescaled(tmp_path):
    stored = write_stack(tmp_path, spacing=(0.5, 0.25), slope=2, intercept=-1000)
    (one,), left_out = series_in(tmp_path)
    voxels, affine = one.read()
    assert not left_out and voxels.shape == (5, 3, 4)
    assert np.array_equal(voxels, 2 * stored.T - 1000)
    # A column further is 0.25 mm to the left, a row further 0.5 mm to the back, a slice further 2 mm up.
    assert np.allclose(affine, np.diag([-0.25, -0.5, 2, 1]))


def test_a_slope_that_is_no_whole_number(tmp_path):
    stored = write_stack(tmp_path, slope=0.125, intercept=1)
    ((one,), _) = series_in(tmp_path)
    assert np.allclose(one.read()[0], stored.T / 8 + 1)


def test_a_slope_of_each_slice(tmp_path):
    """As in PET."""
    for place, slope in enumerate((1, 0.5, 0.25)):
        write_slice(tmp_path / f"{place}.dcm", np.full((2, 2), 8), position=(0, 0, place), slope=slope)
    ((one,), _) = series_in(tmp_path)
    assert one.read()[0][0, 0].tolist() == [8, 4, 2]


def test_a_sagittal_series_downwards(tmp_path):
    """Columns run towards the back, rows downwards; slices run to the left: all by the definition of the tags."""
    pixels = np.arange(6, dtype=np.int16).reshape(2, 3)
    for place in range(3):
        write_slice(
            tmp_path / f"{place}", pixels + 10 * place, position=(4 * place - 9, 1, 50), orientation=(0, 1, 0, 0, 0, -1)
        )
    ((one,), _) = series_in(tmp_path)
    voxels, affine = one.read()
    for place in range(3):
        for row, column in np.ndindex(2, 3):
            left, back, up = 4 * place - 9, 1 + column, 50 - row
            where = np.linalg.inv(affine) @ [-left, -back, up, 1]
            assert voxels[tuple(np.rint(where[:3]).astype(int))] == pixels[row, column] + 10 * place


def test_a_tilted_gantry(tmp_path):
    """Each slice lies 1 mm further to the back than the one below."""
    for place in range(3):
        write_slice(tmp_path / f"{place}", np.zeros((2, 2)), position=(0, place, 3 * place))
    ((one,), _) = series_in(tmp_path)
    assert not one.problems and np.allclose(one.affine[:, 2], [0, -1, 3, 0])


def test_series_in_one_folder_are_told_apart_and_others_left_out(tmp_path):
    write_stack(tmp_path, series="1.5", number=5)
    write_stack(tmp_path, 6, series="1.6", number=6)
    for place, orientation in enumerate([(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)]):
        write_slice(
            tmp_path / f"l{place}",
            np.zeros((2, 2)),
            position=(0, 0, 0),
            orientation=orientation,
            series="1.7",
            number=7,
        )
    write_stack(tmp_path, series="1.8", number=8, image_type="ORIGINAL\\PRIMARY\\LOCALIZER")
    write_stack(tmp_path, series="1.9", number=9, sop_class=SECONDARY)
    write_slice(tmp_path / "one", np.zeros((2, 2)), position=(0, 0, 0), series="1.10", number=10)
    found, left_out = series_in(tmp_path)
    assert sorted((one.number, len(one.files)) for one in found) == [("5", 4), ("6", 6)]
    told = {line.split("series ")[1].split(" ")[0]: line for line in left_out}
    assert sorted(told, key=int) == ["7", "8", "9", "10"]
    assert "several orientations" in told["7"] and "a localiser" in told["8"]
    assert "a secondary capture" in told["9"] and "a single slice" in told["10"]


def test_a_gap(tmp_path):
    write_stack(tmp_path, 6)
    next(tmp_path.glob("*_10.dcm")).unlink()  # the slice at 3 * 7 % 11
    assert "expected 5 slices that are 2 mm apart, found 1 gaps, between 4 and 8 mm" in problems_in(tmp_path)


def test_duplicates(tmp_path):
    write_stack(tmp_path)
    write_slice(tmp_path / "again", np.zeros((3, 5)), position=(0, 0, 4))
    assert "found 1 duplicates, such as 1.2.3_3.dcm and again at 4 mm" in problems_in(tmp_path)


def test_slices_astray_of_two_sizes_or_without_a_place(tmp_path):
    write_stack(tmp_path / "a")
    write_slice(tmp_path / "a/more", np.zeros((3, 5)), position=(9, 0, 8))
    assert "in a straight stack" in problems_in(tmp_path / "a")
    write_stack(tmp_path / "b")
    write_slice(tmp_path / "b/more", np.zeros((4, 5)), position=(0, 0, 8))
    assert "slices of one size, found 5 × 3 × 1, 5 × 4 × 1 voxels" in problems_in(tmp_path / "b")
    write_stack(tmp_path / "c")
    write_slice(tmp_path / "c/more", np.zeros((3, 5)), position=None)
    assert "the position and orientation of every slice" in problems_in(tmp_path / "c")


def test_a_series_in_two_folders(tmp_path):
    write_stack(tmp_path / "a")
    write_stack(tmp_path / "b")
    found, _ = series_in(tmp_path)
    assert ["expected a series in one folder" in one.problems[0] for one in found] == [True, True]


def test_a_truncated_slice(tmp_path):
    """Also at the end of the stack, where it leaves no gap."""
    write_stack(tmp_path)
    path = next(tmp_path.glob("*_10.dcm"))
    path.write_bytes(path.read_bytes()[:-12])
    (one,), left_out, damaged = find_series(sorted(tmp_path.iterdir()))
    assert len(one.files) == 3 and not one.problems and not left_out
    assert damaged.keys() == {path} and "truncated or damaged" in damaged[path]
    ((series,),) = find_volumes(tmp_path).by_name.values()
    with pytest.raises(ValueError, match=r"_10\.dcm: expected a complete image, found a truncated or damaged one"):
        series.read()


def test_a_file_without_an_image(tmp_path):
    write_stack(tmp_path)
    path = write_slice(tmp_path / "report", np.zeros((0, 0)), position=None)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(PIXEL_DATA)])
    _, left_out = series_in(tmp_path)
    assert left_out == [f"{path}: left out, it holds no image."]


def test_what_is_dicom(tmp_path):
    path = write_slice(tmp_path / "a", np.zeros((2, 2)), position=(0, 0, 0))
    (tmp_path / "DICOMDIR").write_bytes(path.read_bytes())
    (tmp_path / "b.dcm").touch()
    assert [is_dicom(tmp_path / name) for name in ("a", "DICOMDIR", "b.dcm")] == [True, False, False]


@needs_data("dicom")
@pytest.mark.parametrize("name", ["13_HCropVolume", "14_HCropVolume"])
def test_a_real_series_as_itk_reads_it(name):
    """ITK sorts the slices and makes the geometry itself here."""
    folder = DATA / "dicom" / name
    finder = itk.GDCMSeriesFileNames.New(Directory=str(folder))
    (uid,) = finder.GetSeriesUIDs()
    image = itk.imread(list(finder.GetFileNames(uid)))
    ((one,), left_out) = series_in(folder)
    voxels, affine = one.read()
    assert not left_out and one.uid == uid
    assert np.array_equal(voxels, itk.array_from_image(image).T) and voxels.max() > voxels.min()
    for index in ([0, 0, 0], [3, 4, 5]):
        x, y, z = image.TransformIndexToPhysicalPoint(index)
        assert np.allclose(affine @ [*index, 1], [-x, -y, z, 1])
