from __future__ import annotations

import json
import os

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff

from common.__main__ import main
from common.cohort import CohortError, check_cohort
from common.cohort.volumes import spacing as spacing_of
from common.prepare import prepare_folder
from common.prepare.find import find_volumes
from tests.prepare.dicom_files import SECONDARY, write_slice, write_stack
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


TWO = {"classes": ["liver", "spleen"], "progress": False}


def ids(scans):
    return [scan.id for scan in scans]


def problems_of(*arguments, **options):
    with pytest.raises(CohortError) as caught:
        prepare_folder(*arguments, progress=False, **options)
    return caught.value.problems


def test_splits_and_classes(source):
    cohort = prepare_folder(
        source / "images", source / "target", source / "labels", validation=1, test=1, name="bellies", **TWO
    )
    assert (ids(cohort.training), ids(cohort.validation), ids(cohort.test)) == (["s0", "s1", "s2"], ["s4"], ["s3"])
    assert (cohort.labels, cohort.name) == ({1: "liver", 2: "spleen"}, "bellies")
    assert cohort.scan("s1").label is None
    assert nib.load(cohort.scan("s0").image).get_data_dtype() == np.int16
    assert np.array_equal(
        nib.load(cohort.scan("s0").image).get_fdata(), nib.load(source / "images/s0.nii.gz").get_fdata()
    )


def test_a_common_spacing_makes_the_cohort_valid(source):
    options = {"classes": {1: "a", 2: "b"}, "progress": False}
    mixed = prepare_folder(source / "images", source / "mixed", source / "labels", **options)
    with pytest.raises(CohortError, match="expected a spacing like the other"):
        check_cohort(mixed, progress=False)
    even = prepare_folder(source / "images", source / "even", source / "labels", spacing=2, **options)
    check_cohort(even, progress=False)
    before = states(source / "even")
    prepare_folder(source / "images", source / "even", source / "labels", spacing=2, **options)
    assert states(source / "even") == before


def test_three_spacings_are_along_the_axes_of_ras(tmp_path):
    # Axes of the file: anterior by 1 mm, superior by 2 mm, left by 0.5 mm.
    affine = np.array([[0, 0, -0.5, 20], [1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 1.0]])
    save(tmp_path / "images/s0.nii.gz", np.zeros((12, 10, 16), np.int16), affine)
    prepare_folder(tmp_path / "images", tmp_path / "cohort", spacing=[2, 3, 4], progress=False)
    image = nib.load(tmp_path / "cohort/images/s0.nii.gz")
    np.testing.assert_allclose(spacing_of(image.affine), [3, 4, 2])
    assert image.shape == (4, 5, 4)


def test_an_interrupted_call_is_resumed(source):
    whole = prepare_folder(source / "images", source / "target", source / "labels", **TWO)
    (source / "target/datalist.json").unlink()
    (source / "target/images/s2.nii.gz").unlink()
    before = states(source / "target")
    originals = states(source / "images") | states(source / "labels")
    assert prepare_folder(source / "images", source / "target", source / "labels", **TWO) == whole
    after = states(source / "target")
    assert after.keys() - before.keys() == {"datalist.json", "images/s2.nii.gz"}
    assert {path for path in before if before[path] != after[path]} == {"labels/s2.nii.gz"}
    assert originals == states(source / "images") | states(source / "labels")


def test_without_labels_everything_is_for_training_or_test(source):
    cohort = prepare_folder(source / "images", source / "target", test=2, progress=False)
    assert (ids(cohort.training), ids(cohort.test)) == (["s0", "s1", "s2"], ["s3", "s4"])
    assert all(scan.label is None for scan in cohort.scans)


def test_test_scans_alone(source):
    cohort = prepare_folder(source / "images", source / "target", source / "labels", test=5, **TWO)
    assert ids(cohort.test) == ["s0", "s1", "s2", "s3", "s4"] and not cohort.training + cohort.validation


def test_lists_and_random_numbers(source):
    (source / "train.txt").write_text("s3\ns1\n")
    (source / "none.txt").write_text("")
    lists = [source / "train.txt", source / "none.txt"]
    cohort = prepare_folder(source / "images", source / "a", source / "labels", lists=lists, **TWO)
    assert ids(cohort.scans) == ["s3", "s1"] and sorted(os.listdir(source / "a/images")) == ["s1.nii.gz", "s3.nii.gz"]
    cohort = prepare_folder(source / "images", source / "b", source / "labels", split=(2, 2, 1), seed=4, **TWO)
    assert [len(part) for part in (cohort.training, cohort.validation, cohort.test)] == [2, 2, 1]


def test_channels_in_one_folder_or_in_a_folder_per_scan(tmp_path):
    """Files end in the channel; the label is found by its own ending, in whatever format."""
    itk = pytest.importorskip("itk")
    image = {name: np.full((3, 4, 5), value, np.int16) for value, name in enumerate(("t1", "flair"), start=1)}
    for name, voxels in image.items():
        save(tmp_path / f"images/A_{name}.nii.gz", voxels)
        save(tmp_path / f"images/B/{name}.nii.gz", 10 * voxels)
        save(tmp_path / f"images/C/C-{name}.nii.gz", 100 * voxels)
    save(tmp_path / "images/B/brainmask.nii.gz", voxels)
    save(tmp_path / "images/C/C-seg.nii.gz", np.ones((3, 4, 5), np.uint8))
    label = itk.image_from_array(np.ones((5, 4, 3), np.uint8))
    label.SetDirection(itk.matrix_from_array(np.diag([-1.0, -1, 1])))  # ITK's axes point the other way
    (tmp_path / "labels").mkdir()
    itk.imwrite(label, str(tmp_path / "labels/A_seg.nrrd"))
    cohort = prepare_folder(
        tmp_path / "images",
        tmp_path / "target",
        tmp_path / "labels",
        channels=["_flair", "t1"],
        label_ending="seg",
        progress=False,
    )
    assert ids(cohort.scans) == ["A", "B", "C"]
    for scan, factor in zip(cohort.scans, (1, 10, 100), strict=True):
        voxels = nib.load(scan.image).get_fdata()
        assert voxels.shape == (3, 4, 5, 2) and voxels[0, 0, 0].tolist() == [2 * factor, factor]
    assert [scan.label is not None for scan in cohort.scans] == [True, False, True]
    assert json.loads((tmp_path / "target/datalist.json").read_text())["modality"] == {"0": "flair", "1": "t1"}
    check_cohort(cohort, channels=2, progress=False)
    coarse = prepare_folder(tmp_path / "images", tmp_path / "coarse", spacing=2, channels=["t1"], progress=False)
    assert nib.load(coarse.scans[1].image).shape == (2, 2, 3)
    coarse = prepare_folder(tmp_path / "images", tmp_path / "both", spacing=2, channels=["t1", "flair"], progress=False)
    assert nib.load(coarse.scans[1].image).get_fdata()[0, 0, 0].tolist() == [10, 20]


def test_axes_in_another_order_are_turned_to_the_images(tmp_path):
    rng = np.random.default_rng(0)
    affine = np.array([[0, 0, 2.0, 1], [-1, 0, 0, 2], [0, 3, 0, 3], [0, 0, 0, 1]])
    image, label = rng.normal(size=(4, 5, 6)).astype(np.float32), rng.integers(0, 2, (4, 5, 6)).astype(np.uint8)
    save(tmp_path / "images/a.nii", image, affine)
    turn = axcodes2ornt("LSP")
    save(tmp_path / "labels/a.nii", apply_orientation(label, turn), affine @ inv_ornt_aff(turn, label.shape))
    cohort = prepare_folder(tmp_path / "images", tmp_path / "target", tmp_path / "labels", progress=False)
    written = nib.load(cohort.scans[0].label)
    assert np.array_equal(written.get_fdata(), label) and np.allclose(written.affine, affine)
    assert np.array_equal(nib.load(cohort.scans[0].image).get_fdata(), image)


def test_dicom_series_as_scans(tmp_path, caplog):
    pytest.importorskip("itk")
    stored = write_stack(tmp_path / "images/anna/head", series="1.1", slope=1, intercept=-5)
    write_stack(tmp_path / "images/bert", series="1.2", number=2)
    write_stack(tmp_path / "images/bert", series="1.3", number=3)
    write_slice(tmp_path / "images/bert/shot", np.zeros((2, 2)), position=None, series="1.4", sop_class=SECONDARY)
    for place in range(4):
        write_slice(tmp_path / f"labels/anna/head/{place}", np.ones((3, 5)), position=(0, 0, 2 * place), series="1.5")
    cohort = prepare_folder(tmp_path / "images", tmp_path / "target", tmp_path / "labels", progress=False)
    assert ids(cohort.scans) == ["anna_head", "bert_2", "bert_3"]
    image = nib.load(cohort.scans[0].image)
    assert np.array_equal(image.get_fdata(), stored.T - 5)
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S") and image.header.get_zooms() == (1, 1, 2)
    assert cohort.scans[0].label is not None and "a secondary capture" in caplog.text


def test_names_of_files_in_folders(tmp_path):
    for name in ("a.nii", "a/a.nii.gz", "a/b.nii", "c/c-1.nii", "1/10.nii", ".hidden.nii", ".x/y.nii", "d/e/f.nii"):
        save(tmp_path / name, np.zeros((2, 2, 2)))
    found = {name: len(places) for name, places in find_volumes(tmp_path).by_name.items()}
    assert found == {"a": 2, "a_b": 1, "c-1": 1, "1_10": 1, "d_e_f": 1}


def test_labels_and_target_may_lie_within_the_images_folder(tmp_path):
    save(tmp_path / "a.nii", np.arange(60.0).reshape(3, 4, 5))
    save(tmp_path / "labels/a.nii", np.ones((3, 4, 5), np.uint8))
    for _ in range(2):
        cohort = prepare_folder(tmp_path, tmp_path / "cohort", tmp_path / "labels", progress=False)
        assert ids(cohort.scans) == ["a"] and cohort.scans[0].label is not None


def test_everything_that_is_wrong_is_listed_by_scan_and_nothing_written(tmp_path, caplog):
    """One scan of each kind of mistake between two good ones."""
    images, labels, good = tmp_path / "images", tmp_path / "labels", np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    label = np.ones(good.shape, np.uint8)
    for name in ("good", "fine", "grid", "value", "half", "label_nan", "label_4d"):
        save(images / f"{name}.nii.gz", good)
    save(labels / "good.nii", label)
    save(labels / "fine.nii", label + np.float32(5e-4))
    save(labels / "grid.nii", label[:2])
    save(labels / "value.nii", 3 * label)
    save(labels / "half.nii", label / 2)
    save(labels / "label_nan.nii", np.full(good.shape, np.nan))
    save(labels / "label_4d.nii", np.stack([label] * 2, axis=-1))
    save(labels / "orphan.nii", label)
    save(images / "nan.nii", np.where(good == 7, np.nan, good))
    save(images / "four.nii", np.stack([good] * 3, axis=-1))
    save(images / "flat.nii", good[..., 0])
    save(images / "twice.nii", good)
    save(images / "twice.nii.gz", good)
    (images / "empty.nii.gz").touch()
    cut = save(images / "cut.nii.gz", np.random.default_rng(0).normal(size=(9, 9, 9)))
    cut.write_bytes(cut.read_bytes()[:-999])
    expected = {
        "cut": "truncated or damaged",
        "empty": "expected a NIfTI file",
        "flat": "expected a 3D volume",
        "four": "with 3; save one volume per file",
        "grid": "expected the grid of",
        "half": "whole numbers, found 0.5",
        "label_4d": "with 2; save one volume per file",
        "label_nan": "whole numbers, found nan",
        "nan": "found 1 NaN or infinite voxels",
        "orphan": "expected an image of this name",
        "twice": "expected a name of its own",
        "value": "found 3; name the classes of all values, as in 3=NAME",
    }
    found = problems_of(images, tmp_path / "target", labels)
    assert [line.split(": ")[0] for line in found] == sorted(expected)
    for line in found:
        assert expected[line.split(": ")[0]] in line, line
    assert not (tmp_path / "target").exists()
    cohort = prepare_folder(images, tmp_path / "target", labels, validation=1, test=1, skip_bad=True, progress=False)
    assert sorted(ids(cohort.scans)) == ["fine", "good"]
    assert sorted(os.listdir(tmp_path / "target/images")) == ["fine.nii.gz", "good.nii.gz"]
    assert caplog.text.count("LEFT OUT") == len(expected)
    before = states(tmp_path / "target")
    prepare_folder(images, tmp_path / "target", labels, validation=1, test=1, skip_bad=True, progress=False)
    assert states(tmp_path / "target") == before
    with pytest.raises(CohortError, match="cut"):
        prepare_folder(images, tmp_path / "target", labels, validation=1, test=1, progress=False)


def test_channels_that_do_not_belong_together(tmp_path):
    for name in ("a_t1", "a_t2", "b_t1", "c_t1"):
        save(tmp_path / f"images/{name}.nii", np.ones((3, 4, 5)))
    save(tmp_path / "images/c_t2.nii", np.ones((3, 4, 5)), np.diag([1, 1, 2.0, 1]))
    first, second = problems_of(tmp_path / "images", tmp_path / "target", channels=["t1", "t2"])
    assert first.startswith("b: ") and "found none that ends in t2" in first
    assert second.startswith("c: ") and "3 × 4 × 5 voxels of 1 × 1 × 1 mm" in second and "1 × 1 × 2 mm" in second
    with pytest.raises(FileNotFoundError, match="that end in adc"):
        prepare_folder(tmp_path / "images", tmp_path / "target", channels=["adc"])


def test_bad_series_are_bad_scans(tmp_path):
    pytest.importorskip("itk")
    write_stack(tmp_path / "images/a", series="1.1")
    write_stack(tmp_path / "images/b", 6, series="1.2")
    next((tmp_path / "images/b").glob("*_10.dcm")).unlink()
    write_stack(tmp_path / "images/c", series="1.3")
    (tmp_path / "images/c/9.dcm").touch()
    first, second = problems_of(tmp_path / "images", tmp_path / "target")
    assert first.startswith("b: ") and "1 gaps" in first
    assert second.startswith("c: ") and "9.dcm: expected a DICOM file, found an empty or damaged one" in second


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    save(tmp_path / "images/a.nii", np.ones((3, 4, 5)))
    (tmp_path / "images/secret").mkdir()
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (problem,) = problems_of(tmp_path / "images", tmp_path / "target")
    assert "secret: expected a folder that can be read, found Permission denied" in problem
    assert ids(prepare_folder(tmp_path / "images", tmp_path / "target", skip_bad=True, progress=False).scans) == ["a"]


def test_bad_options(source):
    images, labels, target = source / "images", source / "labels", source / "target"
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        prepare_folder(source / "nowhere", target)
    (source / "nothing").mkdir()
    with pytest.raises(FileNotFoundError, match=r"nothing: expected images \(.nii, .*found none"):
        prepare_folder(source / "nothing", target)
    with pytest.raises(ValueError, match="validation must be 0 to 4"):
        prepare_folder(images, target, labels, validation=5)
    with pytest.raises(ValueError, match="test must be 0 to 4"):
        prepare_folder(images, target, labels, validation=1, test=5)
    with pytest.raises(ValueError, match="in one way, got test and split"):
        prepare_folder(images, target, labels, test=1, split=(1, 1, 3))
    with pytest.raises(ValueError, match="classes must be"):
        prepare_folder(images, target, labels, classes=[])
    assert not target.exists()


def test_from_the_command_line(source, capsys):
    words = ["prepare", "folder", "--images", f"{source}/images", "--target", f"{source}/target"]
    words += ["--labels", f"{source}/labels"]
    with pytest.raises(SystemExit) as caught:
        main([*words, "--classes", "1=liver"])
    assert "s3: " in str(caught.value) and "2=NAME" in str(caught.value) and not (source / "target").exists()
    main([*words, "--classes", "1+2=organ,9=ignore", "--split", "2,1,2", "--skip_bad"])
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{source}/target: target, 2 training, 1 validation, 2 test scans.",
        "  size (R, A, S): 8 × 8 × 6 voxels",
        "  spacing (R, A, S): 1 × 1 × 1 to 3 mm",
        "  labels: 4 of 5 scans",
        "    1 organ: in 4 scans, 16.7 % of their voxels",  # 64 of 384
    ]
