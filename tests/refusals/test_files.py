"""Files of cohorts and images for inference that are refused, as a table; and those that are taken."""

import gzip
import json
import logging
import re
import shutil

import nibabel as nib
import numpy as np
import pytest

from common.cohort import Cohort, CohortError, check_cohort, check_images, images
from tests.samples import save, states

SHAPE = (6, 7, 8)
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
SUPPORTED = r"expected a NIfTI file \(NIfTI-1 or NIfTI-2, \.nii or \.nii\.gz\)"
IMAGE, LABEL = "images/scan_1.nii.gz", "labels/scan_1.nii.gz"


def image(array, affine=None):
    return lambda folder: save(folder / IMAGE, np.asarray(array), affine)


def label(array, affine=None):
    return lambda folder: save(folder / LABEL, np.asarray(array), affine)


def filled(value, dtype=np.float32):
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(dtype)
    array[1, 2, 3] = value
    return array


def content(name, data):
    def write(folder):
        (folder / name).write_bytes(data)

    return write


def other_format(folder):
    """An MGH file under the name of a NIfTI file."""
    nib.save(nib.MGHImage(np.zeros(SHAPE, np.float32), np.eye(4)), folder / "x.mgz")
    shutil.move(folder / "x.mgz", folder / IMAGE)


def directory(folder):
    (folder / IMAGE).unlink()
    (folder / IMAGE).mkdir()


def datalist(change):
    def write(folder):
        path = folder / "datalist.json"
        found = json.loads(path.read_text())
        change(found)
        path.write_text(json.dumps(found))

    return write


def long_name(folder):
    name = "x" * 230 + ".nii.gz"
    shutil.copy(folder / IMAGE, folder / "images" / name)
    datalist(lambda it: it["training"].append({"image": f"images/{name}", "label": LABEL}))(folder)


def same_bytes(folder, split="test", name="other"):
    shutil.copy(folder / "images/scan_0.nii.gz", folder / f"images/{name}.nii.gz")
    datalist(lambda it: it[split].append({"image": f"images/{name}.nii.gz"}))(folder)


CASES = [
    (content(IMAGE, b""), IMAGE, SUPPORTED),
    (content(IMAGE, b"hello"), IMAGE, SUPPORTED),
    (content(IMAGE, gzip.compress(b"hello" * 100)), IMAGE, SUPPORTED),
    (content(LABEL, b"hello"), LABEL, SUPPORTED),
    (other_format, IMAGE, SUPPORTED),
    (directory, IMAGE, "no such file"),
    (image(filled(np.nan)), IMAGE, "expected finite intensities, found 1 NaN"),
    (image(filled(np.inf)), IMAGE, "expected finite intensities, found 1 NaN or infinite"),
    (image(filled(1e39, np.float64)), IMAGE, r"at most 1e\+18 in size, .* found 0 to 1e\+39; rescale"),
    (image(filled(-1e20)), IMAGE, r"at most 1e\+18 in size, .* found -1e\+20 to 335; rescale"),
    (image(np.zeros(SHAPE, RGB)), IMAGE, "expected one number per voxel, found colours; save a grey image"),
    (image(np.zeros(SHAPE, np.complex64)), IMAGE, "expected one number per voxel, found complex64"),
    (image(np.zeros((*SHAPE, 2), np.float32)), IMAGE, "expected a 3D volume with 1 channel, found shape"),
    (image(np.zeros(SHAPE[:2], np.float32)), IMAGE, "expected a 3D volume with 1 channel, found shape"),
    (label(np.zeros(SHAPE, RGB)), LABEL, "expected one number per voxel, found colours; save a grey image or a label"),
    (label(np.zeros(SHAPE, np.uint8)), LABEL, "expected a label with foreground, found an empty one"),
    (label(filled(2, np.uint8) % 3), LABEL, "expected 0 background, 1 blob, 255 not annotated, found the values 2"),
    (label(np.full(SHAPE, np.nan, np.float32)), LABEL, "found the values nan"),
    (label(np.ones((6, 7, 9), np.uint8)), LABEL, "expected the grid of scan_1.nii.gz"),
    (label(np.ones(SHAPE, np.uint8), np.diag([2, 1, 1, 1])), LABEL, "expected the grid of scan_1.nii.gz"),
    (long_name, "images/" + "x" * 230 + ".nii.gz", "expected a file name of at most 220 bytes .* found 230; rename"),
    (same_bytes, "images/other.nii.gz", r"in one split alone, found the bytes of .*scan_0.nii.gz \(training\) again"),
    (
        datalist(lambda it: it["training"].append({"image": "images/" + "y" * 300 + ".nii"})),
        "images/" + "y" * 300 + ".nii",
        "expected a file name of at most 220 bytes",
    ),
]


@pytest.mark.parametrize(("spoil", "name", "message"), CASES)
def test_a_file_of_a_cohort_is_refused_by_name(spoil, name, message, make_cohort):
    folder = make_cohort()
    spoil(folder)
    before = states(folder)
    with pytest.raises(CohortError) as caught:
        check_cohort(Cohort.open(folder), progress=False)
    problem = caught.value.problems[0]
    assert problem.startswith(str(folder / name)) and re.search(message, problem)
    assert states(folder) == before


@pytest.mark.parametrize("spoil", [case[0] for case in CASES if case[1] == IMAGE])
def test_an_image_for_inference_is_refused_by_name(spoil, make_cohort):
    folder = make_cohort()
    spoil(folder)
    with pytest.raises((CohortError, ValueError)) as caught:
        check_images(folder)
    assert str(folder / IMAGE) in str(caught.value)


def test_the_same_bytes_within_a_split_and_others_of_one_size_are_fine(make_cohort):
    folder = make_cohort()
    same_bytes(folder, split="training")
    check_cohort(Cohort.open(folder), progress=False)
    for place, value in enumerate((1, 2)):
        nib.save(nib.Nifti1Image(filled(value), np.eye(4)), folder / f"images/{place}.nii")
    datalist(lambda it: it["training"].append("images/0.nii") or it["test"].append("images/1.nii"))(folder)
    assert (folder / "images/0.nii").stat().st_size == (folder / "images/1.nii").stat().st_size
    check_cohort(Cohort.open(folder), progress=False)


def test_a_constant_image_is_warned_of_by_name(make_cohort, caplog):
    folder = make_cohort()
    save(folder / IMAGE, np.full(SHAPE, 3.5, np.float32))
    with caplog.at_level(logging.WARNING, "common"):
        check_cohort(Cohort.open(folder), progress=False)
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder / IMAGE}: ALL VOXELS ARE 3.5: nothing can be seen in this image; look at it."
    ]


def test_nifti_2_is_taken(make_cohort):
    folder = make_cohort()
    for name in (IMAGE, LABEL):
        former = nib.load(folder / name)
        array = np.asanyarray(former.dataobj).copy()
        nib.save(nib.Nifti2Image(array, former.affine), folder / name)
    assert isinstance(nib.load(folder / IMAGE), nib.Nifti2Image)
    check_cohort(Cohort.open(folder), progress=False)


def test_hidden_files_are_no_images(tmp_path):
    for name in (".hidden.nii", "._scan.nii.gz", "scan.nii.gz"):
        save(tmp_path / name.removeprefix("._").lstrip("."), filled(0)) if name == "scan.nii.gz" else (
            tmp_path / name
        ).write_bytes(b"not NIfTI")
    assert [item["scan"] for item in images(tmp_path)] == ["scan"]
    check_images(tmp_path)


def test_channels_that_do_not_fit_the_images(make_cohort):
    folder = make_cohort()
    with pytest.raises(CohortError, match="expected a 3D volume with 4 channels, found shape"):
        check_cohort(Cohort.open(folder), channels=4, progress=False)
