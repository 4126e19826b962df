from __future__ import annotations

import re

import nibabel as nib
import numpy as np
import pytest

from common.__main__ import main
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
    with pytest.raises(ValueError, match="prepared before with modality 'flair', not 't2'"):
        prepare_brats(source, tmp_path / "target", modality="T2", progress=False)
    cohort = prepare_brats(source, tmp_path / "half", spacing=2, validation=0, modality="T2", progress=False)
    check_cohort(cohort, progress=False)
    assert nib.load(cohort.training[0].image).shape == (4, 6, 3)


def test_bad_input(source, tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"with OTMultiClass; PATIENT_flair with PATIENT_seg; PATIENT-t2f with",
    ):
        prepare_brats(tmp_path / "nothing", tmp_path / "target")
    with pytest.raises(ValueError, match="validation must be 0 to 3"):
        prepare_brats(source, tmp_path / "target", validation=4)
    (source / "pat_2/Flair_subtrMeanDivStd.nii.gz").unlink()
    (source / "pat_3/Flair_subtrMeanDivStd.nii.gz").write_bytes(b"no")
    with pytest.raises(CohortError) as caught:
        prepare_brats(source, tmp_path / "target")
    assert len(caught.value.problems) == 2
    assert not (tmp_path / "target").exists()


NAMES = {
    "2013": ("Brats_2013_pat0001_1", "T1c_subtrMeanDivStd.nii.gz", "OTMultiClass.nii.gz"),
    "2015": ("HGG/brats_tcia_pat101_1", "T1c_subtrMeanDivStd.nii.gz", "OTMultiClass.nii.gz"),
    "2017": ("HGG/Brats17_2013_10_1", "Brats17_2013_10_1_t1ce.nii.gz", "Brats17_2013_10_1_seg.nii.gz"),
    "2018": ("LGG/Brats18_TCIA09_141_1", "Brats18_TCIA09_141_1_t1ce.nii.gz", "Brats18_TCIA09_141_1_seg.nii.gz"),
    "2019": ("Training/HGG/BraTS19_2013_0_1", "BraTS19_2013_0_1_t1ce.nii", "BraTS19_2013_0_1_seg.nii"),
    "2020": ("BraTS20_Training_001", "BraTS20_Training_001_t1ce.nii", "BraTS20_Training_001_seg.nii"),
    "2021": ("BraTS2021_00000", "BraTS2021_00000_t1ce.nii.gz", "BraTS2021_00000_seg.nii.gz"),
    "2023": ("BraTS-GLI-00000-000", "BraTS-GLI-00000-000-t1c.nii.gz", "BraTS-GLI-00000-000-seg.nii.gz"),
}


def write_patient(folder, image_name, label_name, darkest=100):
    label = np.zeros((4, 5, 6), np.int16)
    label[1, 2, :5] = range(5)
    image = np.zeros(label.shape, np.int16)
    image[1:3, 1:4, :] = 100
    image[1, 1, 0], image[1, 2, 3] = darkest, 200
    save(folder / image_name, image, AFFINE)
    save(folder / label_name, label, AFFINE)


@pytest.mark.parametrize("year", NAMES)
def test_the_names_of_every_year(tmp_path, year):
    folder, image_name, label_name = NAMES[year]
    write_patient(tmp_path / "source" / folder, image_name, label_name)
    save(tmp_path / "source" / folder / re.sub("(?i)t1ce?", "t2w", image_name), np.ones((9, 9, 9), np.int16))
    cohort = prepare_brats(tmp_path / "source", tmp_path / "target", 1, 0, modality="T1ce", progress=False)
    (scan,) = cohort.training
    assert scan.id == folder.split("/")[-1]
    assert nib.load(scan.image).get_fdata()[1, 2, 3] == 200
    assert np.argwhere(nib.load(scan.label).get_fdata()).tolist() == [[1, 2, place] for place in (1, 2, 3, 4)]


def test_flair_of_2023_is_t2f(tmp_path):
    name = "BraTS-GLI-00000-000"
    write_patient(tmp_path / "source" / name, f"{name}-t2f.nii.gz", f"{name}-seg.nii.gz")
    assert prepare_brats(tmp_path / "source", tmp_path / "target", validation=0, progress=False).training[0].id == name


def test_crop_clip_and_a_split_together(tmp_path):
    """The brain is 2x3x6 voxels with 34 times 100, once less and once 200: the 90th percentile is 100."""
    for place, name in enumerate("ABCD"):
        folder = tmp_path / "source" / "HGG" / name
        write_patient(folder, f"{name}_flair.nii", f"{name}_seg.nii", darkest=50 + place)
    cohort = prepare_brats(
        tmp_path / "source", tmp_path / "target", crop=True, clip=(0, 90), split=(2, 1, 1), progress=False
    )
    check_cohort(cohort, simulated=True, progress=False)
    assert [len(split) for split in (cohort.training, cohort.validation, cohort.test)] == [2, 1, 1]
    assert sorted(scan.id for scan in cohort.scans) == ["A", "B", "C", "D"]
    image, label = nib.load(cohort.test[0].image), nib.load(cohort.test[0].label)
    assert image.shape == label.shape == (2, 3, 6)
    assert np.unique(image.get_fdata())[1:].tolist() == [100]
    assert np.argwhere(label.get_fdata()).tolist() == [[0, 1, place] for place in (1, 2, 3, 4)]
    # Voxel (1, 2, 4) before: x is -1, y is 11 - 2.
    for grid in (image, label):
        assert (grid.affine @ [0, 1, 4, 1]).tolist() == [-1, 9, 4, 1]
        assert grid.header.get_zooms() == (1, 1, 1)


def test_lists_of_patients(source, tmp_path, caplog):
    for name, patient in (("train", "pat_3"), ("val", "pat_1")):
        (tmp_path / f"{name}.txt").write_text(patient + "\n")
    lists = [tmp_path / "train.txt", tmp_path / "val.txt"]
    cohort = prepare_brats(source, tmp_path / "target", lists=lists, progress=False)
    assert [scan.id for scan in cohort.scans] == ["pat_3", "pat_1"]
    assert not (tmp_path / "target/images/pat_2.nii.gz").exists()
    assert "1 of 3 patients are in no list and are left out" in caplog.text
    (tmp_path / "train.txt").write_text("pat_2\n")
    with pytest.raises(ValueError, match="prepared before with"):
        prepare_brats(source, tmp_path / "target", lists=lists, progress=False)


def test_patients_are_divided_in_one_way(source, tmp_path):
    with pytest.raises(ValueError, match="divided in one way, got validation and split; give one of them"):
        prepare_brats(source, tmp_path / "target", validation=1, split=(1, 1, 1))
    with pytest.raises(ValueError, match="split must add up to the 3 scans that were found, got 250,25,60"):
        prepare_brats(source, tmp_path / "target", split=(250, 25, 60))
    with pytest.raises(ValueError, match=r"modality must be one of flair, t1, t1ce, t2, got 'adc'"):
        prepare_brats(source, tmp_path / "target", modality="adc")
    assert not (tmp_path / "target").exists()


def test_a_label_of_another_name_is_missed(tmp_path):
    """As that of patient 355 of 2020."""
    name = "BraTS20_Training_355"
    write_patient(tmp_path / "source" / name, f"{name}_flair.nii", "W39_1998.09.19_Segm.nii")
    with pytest.raises(CohortError, match=rf"{name}_seg\.nii\.gz: no such file"):
        prepare_brats(tmp_path / "source", tmp_path / "target", validation=0)


def test_a_patient_who_is_there_twice(tmp_path):
    for grade in ("HGG", "LGG"):
        write_patient(tmp_path / "source" / grade / "A", "A_flair.nii", "A_seg.nii")
    with pytest.raises(CohortError, match=r"A: expected every patient once, found .*HGG/A too|found .*LGG/A too"):
        prepare_brats(tmp_path / "source", tmp_path / "target")


def test_scans_with_a_skull_are_not_cropped(source, tmp_path):
    with pytest.raises(CohortError, match=r"pat_1/Flair.*expected a skull-stripped scan"):
        prepare_brats(source, tmp_path / "target", crop=True, progress=False)


def test_from_the_command_line(tmp_path, capsys):
    for name in ("A", "B", "C", "D"):
        write_patient(tmp_path / "source" / name, f"{name}_flair.nii", f"{name}_seg.nii")
    words = ["prepare", "brats", str(tmp_path / "source"), "--target"]
    main([*words, str(tmp_path / "a"), "--split", "2,1,1", "--crop", "True", "--clip", "0,99.9", "--seed", "3"])
    main([*words, str(tmp_path / "a"), "--split", "[2,1,1]", "--crop", "--clip=0,99.9", "--seed", "3"])
    assert "2 training, 1 validation, 1 test scans" in capsys.readouterr().out
    (tmp_path / "t.txt").write_text("A\nB\nC\n")
    (tmp_path / "v.txt").write_text("D\n")
    main([*words, str(tmp_path / "b"), "--lists", f"{tmp_path}/t.txt,{tmp_path}/v.txt"])
    assert "3 training, 1 validation, 0 test scans" in capsys.readouterr().out
    assert nib.load(tmp_path / "b/images/A.nii.gz").shape == (4, 5, 6)
    with pytest.raises(SystemExit):
        main([*words, str(tmp_path / "c"), "--split", "2.5,1,1"])
    assert "must be three whole numbers of at least 0" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("mid", "number"), [("", ""), (".54512", ".54512")])
def test_the_files_of_2012_and_2015_as_published(tmp_path, mid, number):
    """T1 is not T1c, though its name begins in the same way."""
    itk = pytest.importorskip("itk")
    folder = tmp_path / "source/HGG/brats_2013_pat0001_1"
    names = ["VSD.Brain.XX.O.MR_Flair", "VSD.Brain.XX.O.MR_T1c", "VSD.Brain.XX.O.MR_T1", "VSD.Brain_3more.XX.O.OT"]
    for value, name in enumerate(names, start=1):
        array = np.full((4, 5, 6), value, np.int16)
        array[0] = 0
        (folder / f"{name}{mid}").mkdir(parents=True)
        itk.imwrite(itk.image_from_array(array), str(folder / f"{name}{mid}/{name}{number or '.684'}.mha"))
    cohort = prepare_brats(
        tmp_path / "source", tmp_path / "target", validation=0, modality=["t1", "flair"], progress=False
    )
    (scan,) = cohort.training
    assert scan.id == "brats_2013_pat0001_1"
    assert nib.load(scan.image).get_fdata()[0, 0, 1].tolist() == [3, 1]
    assert np.unique(nib.load(scan.label).dataobj).tolist() == [0, 1]


def test_several_modalities_become_channels(tmp_path):
    for word, value in (("t2f", 3), ("t1c", 4)):
        for place in range(2):
            name = f"BraTS-GLI-0000{place}-000"
            image = np.zeros((4, 5, 6), np.int16)
            image[1:3, 1:4, 1 + place * (value - 3) :] = value
            save(tmp_path / "source" / name / f"{name}-{word}.nii.gz", image, AFFINE)
            save(tmp_path / "source" / name / f"{name}-seg.nii.gz", (image > 0).astype(np.uint8), AFFINE)
    cohort = prepare_brats(
        tmp_path / "source", tmp_path / "target", modality=["t1ce", "flair"], crop=True, progress=False
    )
    for scan in cohort.scans:
        image = nib.load(scan.image)
        assert image.shape == (2, 3, 5, 2) and image.get_fdata()[0, 0, 4].tolist() == [4, 3]
    check_cohort(cohort, channels=2, progress=False)
    (tmp_path / "source/BraTS-GLI-00000-000/BraTS-GLI-00000-000-t1c.nii.gz").unlink()
    with pytest.raises(CohortError, match=r"^BraTS-GLI-00000-000: .*000-t1c.nii.gz: no such file"):
        prepare_brats(tmp_path / "source", tmp_path / "other", modality=["t1ce", "flair"], progress=False)
    with pytest.raises(ValueError, match="name each of several once"):
        prepare_brats(tmp_path / "source", tmp_path / "other", modality=["flair", "FLAIR"], progress=False)


@needs_data("brats2015")
def test_the_box_of_a_real_brain(tmp_path):
    """Its background is not 0 but -3.16, and its mask is published beside it."""
    patient = min((DATA / "brats2015").iterdir())
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / patient.name).symlink_to(patient)
    cohort = prepare_brats(tmp_path / "source", tmp_path / "target", validation=0, crop=True, progress=False)
    published = nib.load(patient / "brainmask.nii.gz")
    where = np.argwhere(published.get_fdata() > 0)
    image = nib.load(cohort.training[0].image)
    assert image.shape == tuple(where.max(0) - where.min(0) + 1)
    assert np.allclose(image.affine @ [0, 0, 0, 1], published.affine @ [*where.min(0), 1])


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
