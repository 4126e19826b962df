from __future__ import annotations

import json
import re

import nibabel as nib
import numpy as np
import pytest

from common.cohort import Cohort, CohortError, check_cohort
from tests.samples import save

SHAPE = (6, 7, 8)
LABEL = np.pad(np.ones((2, 3, 3), np.uint8), ((2, 2), (2, 2), (3, 2)))


def problems(folder, **options):
    with pytest.raises(CohortError) as caught:
        check_cohort(Cohort.open(folder), progress=False, **options)
    return caught.value.problems


def test_a_healthy_cohort_passes(make_cohort):
    check_cohort(Cohort.open(make_cohort()), progress=False)


def _remove(folder):
    (folder / "images/scan_1.nii.gz").unlink()


def _truncate(folder, name="images/scan_1.nii.gz", keep=0.6):
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def _not_nifti(folder):
    (folder / "images/scan_1.nii.gz").write_bytes(b"hello")


def _image(folder, array, affine=None):
    save(folder / "images/scan_1.nii.gz", array, affine)


def _label(folder, array, affine=None):
    save(folder / "labels/scan_1.nii.gz", array, affine)


def _with(value):
    image = np.zeros(SHAPE, np.float32)
    image[1, 2, 3] = value
    return image


@pytest.mark.parametrize(
    ("spoil", "file", "message"),
    [
        (_remove, "images", "no such file"),
        (_truncate, "images", "truncated or damaged"),
        (lambda folder: _truncate(folder, "labels/scan_1.nii.gz"), "labels", "truncated|does not open"),
        (lambda folder: _truncate(folder, keep=0.0), "images", "does not open"),
        (_not_nifti, "images", "does not open"),
        (lambda folder: _image(folder, _with(np.nan)), "images", "expected finite intensities, found 1 NaN"),
        (lambda folder: _image(folder, _with(-np.inf)), "images", "expected finite intensities, found 1 NaN"),
        (lambda folder: _image(folder, np.zeros((*SHAPE, 4))), "images", r"1 channel, found shape .*, 4\) with 4;"),
        (lambda folder: _image(folder, np.zeros(SHAPE[:2])), "images", r"3D volume .* found shape \(6, 7\)"),
        (lambda folder: _label(folder, LABEL * 3), "labels", "1 blob, 255 not annotated, found the values 3"),
        (lambda folder: _label(folder, LABEL * np.float32(0.5)), "labels", "found the values 0.5"),
        (lambda folder: _label(folder, LABEL * np.uint8(255)), "labels", "found an empty one"),
        (lambda folder: _label(folder, LABEL * np.uint8(0) + 255), "labels", "found every voxel at 255"),
        (lambda folder: _label(folder, LABEL * np.uint8(254)), "labels", "255 not annotated, found the values 254"),
        (lambda folder: _label(folder, LABEL * 0), "labels", "found an empty one"),
        (lambda folder: _label(folder, LABEL[1:]), "labels", r"grid of scan_1\.nii\.gz, 6 × 7 × 8.*found 5 × 7"),
        (lambda folder: _label(folder, LABEL, np.diag([1, 1, 1.2, 1])), "labels", "expected the grid of"),
        (lambda folder: _label(folder, LABEL, np.diag([-1, 1, 1, 1])), "labels", "expected the grid of"),
    ],
)  # fmt: skip
def test_each_problem_names_its_file(make_cohort, spoil, file, message):
    folder = make_cohort()
    spoil(folder)
    (problem,) = problems(folder)
    assert problem.startswith(str(folder / file / "scan_1.nii.gz"))
    assert re.search(message, problem)


def test_all_problems_come_at_once(make_cohort):
    folder = make_cohort(5)
    save(folder / "images/scan_0.nii.gz", _with(np.nan))
    save(folder / "labels/scan_0.nii.gz", LABEL * 7)
    (folder / "images/scan_2.nii.gz").unlink()
    save(folder / "labels/scan_4.nii.gz", LABEL[:, 1:] * 0)
    found = problems(folder)
    assert [problem.split(":")[0].removeprefix(str(folder) + "/") for problem in found] == [
        "images/scan_0.nii.gz",
        "labels/scan_0.nii.gz",
        "images/scan_2.nii.gz",
        "labels/scan_4.nii.gz",
        "labels/scan_4.nii.gz",
    ]


def test_a_scan_of_another_spacing_is_named_with_the_remedy(make_cohort):
    folder = make_cohort(4)
    image = np.zeros(SHAPE, np.float32)
    save(folder / "images/scan_2.nii.gz", image, np.diag([1.05, 1, 1, 1]))
    save(folder / "labels/scan_2.nii.gz", LABEL, np.diag([1.05, 1, 1, 1]))
    check_cohort(Cohort.open(folder), progress=False)
    save(folder / "images/scan_2.nii.gz", image, np.diag([1, 1, 1.2, 1]))
    save(folder / "labels/scan_2.nii.gz", LABEL, np.diag([1, 1, 1.2, 1]))
    (problem,) = problems(folder)
    assert "scan_2.nii.gz: expected a spacing like the other scans', 1 × 1 × 1 mm, found 1 × 1 × 1.2 mm" in problem
    assert "prepare folder --spacing" in problem


def test_spacings_are_compared_in_ras_order(make_cohort):
    folder = make_cohort(2)
    for number, order in ((0, (0, 1, 2)), (1, (2, 0, 1))):
        affine = np.eye(4)
        affine[:3, :3] = np.diag([1.0, 1.0, 3.0])[:, order]
        save(folder / f"images/scan_{number}.nii.gz", np.zeros(SHAPE, np.float32).transpose(order), affine)
        save(folder / f"labels/scan_{number}.nii.gz", LABEL.transpose(order), affine)
    check_cohort(Cohort.open(folder), progress=False)


def test_labels_where_they_are_needed(make_cohort):
    folder = make_cohort()
    content = json.loads((folder / "datalist.json").read_text())
    for item in content["training"]:
        del item["label"]
    (folder / "datalist.json").write_text(json.dumps(content))
    check_cohort(Cohort.open(folder), progress=False)
    assert len(problems(folder, simulated=True)) == 3
    content["validation"] = [content["training"].pop()]
    (folder / "datalist.json").write_text(json.dumps(content))
    (problem,) = problems(folder)
    assert "scan_2.nii.gz: expected a label" in problem


def test_a_trailing_axis_of_one_and_a_label_in_float_are_fine(make_cohort):
    folder = make_cohort()
    _image(folder, np.zeros((*SHAPE, 1), np.float32))
    _label(folder, LABEL.astype(np.float64))
    check_cohort(Cohort.open(folder), progress=False)


def test_images_of_several_channels(make_cohort):
    folder = make_cohort(2)
    for number in range(2):
        save(folder / f"images/scan_{number}.nii.gz", np.zeros((*SHAPE, 4), np.float32))
    check_cohort(Cohort.open(folder), channels=4, progress=False)
    assert len(problems(folder)) == 2
    _image(folder, np.zeros(SHAPE, np.float32))
    (problem,) = problems(folder, channels=4)
    assert problem.startswith(str(folder / "images/scan_1.nii.gz"))
    assert "expected a 3D volume with 4 channels, found shape (6, 7, 8) with 1" in problem


def test_a_singular_affine_is_a_problem(make_cohort):
    folder = make_cohort()
    image = nib.Nifti1Image(np.zeros(SHAPE, np.float32), None)
    image.header.set_sform(np.diag([1.0, 1.0, 0.0, 1.0]), code=1)
    nib.save(image, folder / "images/scan_1.nii.gz")
    assert any("affine" in problem for problem in problems(folder))
