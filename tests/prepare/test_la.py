from __future__ import annotations

import builtins

import nibabel as nib
import numpy as np
import pytest

from common.__main__ import main
from common.cohort import Cohort, CohortError, check_cohort
from common.prepare import prepare_la
from tests.samples import DATA, needs_data, states

h5py = pytest.importorskip("h5py")


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    rng = np.random.default_rng(0)
    for name in ("C", "A", "B"):
        label = np.zeros((6, 8, 4), np.uint8)
        label[2:4, 2:6, 1:3] = 1
        write(folder, name, image=rng.normal(size=label.shape).astype(np.float32), label=label)
    (folder / "train.list").write_text("C\nA\nB\n")
    return folder


def write(folder, name, **content):
    (folder / name).mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / name / "mri_norm2.h5", "w") as file:
        for key, array in content.items():
            file.create_dataset(key, data=array, compression="gzip")


def read(source, name):
    with h5py.File(source / name / "mri_norm2.h5") as file:
        return file["image"][:], file["label"][:]


def test_order_spacing_and_content(source, tmp_path):
    cohort = prepare_la(source, tmp_path / "target", validation=1, progress=False)
    assert [scan.id for scan in cohort.training] == ["C", "A"]
    assert [scan.id for scan in cohort.validation] == ["B"]
    assert cohort.labels == {1: "left atrium"}
    check_cohort(cohort, simulated=True, progress=False)
    image, label = nib.load(cohort.training[1].image), nib.load(cohort.training[1].label)
    assert np.array_equal(image.affine, np.diag([0.625, 0.625, 0.625, 1]))
    assert (image.get_data_dtype(), label.get_data_dtype()) == (np.float32, np.uint8)
    expected = read(source, "A")
    assert np.array_equal(image.dataobj, expected[0])
    assert np.array_equal(label.dataobj, expected[1])


def test_half_resolution_is_the_mean_of_eight(source, tmp_path):
    cohort = prepare_la(source, tmp_path / "target", spacing=1.25, validation=0, progress=False)
    image, label = nib.load(cohort.training[0].image), nib.load(cohort.training[0].label)
    expected, expected_label = read(source, "C")
    blocks = expected.reshape(3, 2, 4, 2, 2, 2).mean(axis=(1, 3, 5))
    assert np.allclose(image.get_fdata(), blocks, atol=1e-6)
    shares = expected_label.reshape(3, 2, 4, 2, 2, 2).mean(axis=(1, 3, 5))
    assert np.array_equal(np.asanyarray(label.dataobj), shares > 0.5)
    assert image.header.get_zooms() == (1.25, 1.25, 1.25)
    assert np.allclose(image.affine[:3, 3], 0.3125)


def test_a_second_call_changes_nothing_but_what_is_missing(source, tmp_path):
    target = tmp_path / "target"
    prepare_la(source, target, validation=1, progress=False)
    before = states(target)
    prepare_la(source, target, validation=1, progress=False)
    assert states(target) == before
    (target / "labels/A.nii.gz").unlink()
    (target / "datalist.json").unlink()
    prepare_la(source, target, validation=1, progress=False)
    assert states(target).keys() == before.keys()
    for arguments in ({"spacing": 1.25, "validation": 1}, {"validation": 2}):
        with pytest.raises(ValueError, match="prepared before with"):
            prepare_la(source, target, progress=False, **arguments)


def test_the_test_list_makes_the_test_split(source, tmp_path):
    (source / "train.list").write_text("C\nA\n")
    (source / "test.list").write_text("B\n")
    cohort = prepare_la(source, tmp_path / "target", validation=0, progress=False)
    assert [scan.id for scan in cohort.test] == ["B"]


def test_bad_files_are_all_named_before_anything_is_written(source, tmp_path):
    path = source / "A/mri_norm2.h5"
    path.write_bytes(path.read_bytes()[:-200])
    (source / "B/mri_norm2.h5").unlink()
    write(source, "C", image=np.zeros((2, 2, 2), np.float32), label=np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(CohortError) as caught:
        prepare_la(source, tmp_path / "target", validation=1, progress=False)
    first, second, third = caught.value.problems
    assert "C/mri_norm2.h5: expected 3D `image` and `label` of one shape" in first
    assert "A/mri_norm2.h5: expected a complete h5 file, found a truncated" in second
    assert "B/mri_norm2.h5: no such file" in third
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(("key", "value", "message"), [("image", np.nan, "finite"), ("label", 2, "labels 0 and 1")])
def test_bad_voxels_name_the_file_and_leave_no_datalist(source, tmp_path, key, value, message):
    image, label = read(source, "A")
    content = {"image": image, "label": label}
    content[key][0, 0, 0] = value
    write(source, "A", **content)
    with pytest.raises(CohortError, match=f"A/mri_norm2.h5: expected {message}"):
        prepare_la(source, tmp_path / "target", validation=1, progress=False)
    assert {path.name for path in (tmp_path / "target").rglob("*.*")} == {"prepared.json", "C.nii.gz"}


def test_the_official_division(source, tmp_path, capsys):
    """No case is held out of training; the first case of the list stays the first."""
    for name in ("D", "E"):
        image, label = read(source, "A")
        write(source, name, image=image, label=label)
    (source / "test.list").write_text("E\nD\n")
    main(["prepare", "la", str(source), str(tmp_path / "target"), "--validation", "0"])
    assert "3 training, 0 validation, 2 test scans" in capsys.readouterr().out
    cohort = Cohort.open(tmp_path / "target")
    assert [scan.id for scan in cohort.training] == ["C", "A", "B"]
    assert [scan.id for scan in cohort.test] == ["E", "D"]
    assert cohort.evaluation_split == "test"


def test_lists_and_counts(source, tmp_path):
    for validation in (-1, 3):
        with pytest.raises(ValueError, match="validation must be 0 to 2 of the 3 cases"):
            prepare_la(source, tmp_path / "target", validation=validation)
    (source / "train.list").write_text("A\nA\n")
    with pytest.raises(ValueError, match="every case once"):
        prepare_la(source, tmp_path / "target")
    with pytest.raises(FileNotFoundError, match=r"train\.list"):
        prepare_la(tmp_path, tmp_path / "target")


def test_the_error_without_h5py_says_what_to_install(source, tmp_path, monkeypatch):
    original = builtins.__import__

    def refuse(name, *arguments, **options):
        if name == "h5py":
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match="pip install h5py"):
        prepare_la(source, tmp_path / "target", validation=1)


@needs_data("la2018")
def test_one_real_scan(tmp_path):
    name = (DATA / "la2018/train.list").read_text().split()[0]
    source = tmp_path / "source"
    source.mkdir()
    (source / name).symlink_to(DATA / "la2018" / name)
    (source / "train.list").write_text(name)

    cohort = prepare_la(source, tmp_path / "target", spacing=1.25, validation=0, progress=False)

    check_cohort(cohort, simulated=True, progress=False)
    image, label = nib.load(cohort.training[0].image), nib.load(cohort.training[0].label)
    expected, expected_label = read(source, name)
    assert image.shape == tuple((size + 1) // 2 for size in expected.shape)
    volume = np.asanyarray(label.dataobj).sum() * 1.25**3
    assert volume == pytest.approx(expected_label.sum() * 0.625**3, rel=0.05)
    assert image.get_fdata().mean() == pytest.approx(expected.mean(), abs=0.02)
