from __future__ import annotations

import logging

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.ndimage import label as components

from common.annotations import OracleAnnotator
from common.cohort import CohortError, check_cohort, read_ras
from common.prepare import open_cohort, phantom_volume, write_phantom
from common.prepare.phantom import DOMAINS
from tests.samples import states


@pytest.mark.parametrize("size", [16, 32, (32, 40, 24)])
def test_types_and_ranges(size):
    image, label = phantom_volume(size, seed=3)
    assert image.shape == label.shape == ((size,) * 3 if isinstance(size, int) else size)
    assert (image.dtype, label.dtype) == (np.float32, np.uint8)
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert set(np.unique(label)) == {0, 1}


def test_seeded_and_varying():
    first = phantom_volume(32, 1)
    assert all(np.array_equal(a, b) for a, b in zip(first, phantom_volume(32, 1), strict=True))
    assert not np.array_equal(first[1], phantom_volume(32, 2)[1])


@pytest.mark.parametrize("seed", range(8))
def test_the_atrium_is_bright_but_not_alone(seed):
    image, label = phantom_volume(32, seed)
    atrium = label == 1
    assert 0.01 < atrium.mean() < 0.2
    parts, _ = components(atrium)
    assert np.bincount(parts[atrium]).max() > 0.9 * atrium.sum()
    middle = np.median(image[atrium])
    assert middle > np.median(image[~atrium]) * 1.3
    as_bright = image[~atrium] > 0.85 * middle
    assert as_bright.sum() > 0.5 * atrium.sum(), "brightness alone must not be enough"


def test_a_cohort_is_healthy_and_in_several_orientations(tmp_path):
    cohort = write_phantom(tmp_path, scans=7, size=(24, 32, 16), seed=5)
    assert [len(part) for part in (cohort.training, cohort.validation, cohort.test)] == [5, 1, 1]
    assert cohort.labels == {1: "left atrium"}
    check_cohort(cohort, simulated=True, progress=False)
    images = [nib.load(scan.image) for scan in cohort.scans]
    assert {nib.aff2axcodes(image.affine) for image in images} >= {("R", "A", "S"), ("L", "P", "S"), ("A", "S", "L")}
    for scan, number in ((cohort.training[1], 1), (cohort.training[3], 3)):
        image, affine = read_ras(scan.image)
        assert np.array_equal(image, phantom_volume((24, 32, 16), [5, number])[0].round())
        assert np.allclose(np.diag(affine)[:3] * (24, 32, 16), 80)
    assert OracleAnnotator().annotate(cohort.training, round=0).keys() == {scan.id for scan in cohort.training}


def test_a_second_call_changes_nothing_and_other_arguments_are_refused(tmp_path):
    first = write_phantom(tmp_path, 4, 16, 0)
    before = states(tmp_path)
    assert write_phantom(tmp_path, 4, (16, 16, 16), 0) == first
    (tmp_path / "images/phantom_002.nii.gz").unlink()
    write_phantom(tmp_path, 4, 16, 0)
    after = states(tmp_path)
    assert {name for name in before if before[name] != after[name]} <= {
        "images/phantom_002.nii.gz",
        "labels/phantom_002.nii.gz",
    }
    with pytest.raises(ValueError, match="prepared before with seed 0, not 1"):
        write_phantom(tmp_path, 4, 16, 1)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_files_do_not_depend_on_the_number_of_threads(threads, tmp_path):
    former = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        write_phantom(tmp_path, scans=7, size=16, seed=4)
    finally:
        torch.set_num_threads(former)
    for number in range(7):
        expected = phantom_volume(16, [4, number])
        for folder, array in zip(("images", "labels"), expected, strict=True):
            image = nib.as_closest_canonical(nib.load(tmp_path / folder / f"phantom_{number:03d}.nii.gz"))
            np.testing.assert_array_equal(np.asanyarray(image.dataobj), array.round().astype(np.int16))


def test_an_error_while_writing_ends_the_work(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr("common.prepare.phantom.write_nifti", full)
    with pytest.raises(OSError, match="no space left"):
        write_phantom(tmp_path, scans=4, size=16)
    monkeypatch.undo()
    assert len(write_phantom(tmp_path, scans=4, size=16).training) == 2


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="expected an empty folder"):
        write_phantom(tmp_path, 4, 16)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scans": 2}, "must leave one for training"),
        ({"scans": 4, "validation": -1}, "must leave one for training"),
        ({"size": 8}, "at least 16"),
        ({"size": (32, 32)}, "one or three"),
        ({"size": 32.5}, "one or three"),
    ],
)
def test_senseless_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_phantom(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_open_cohort_says_loudly_that_it_is_a_phantom(tmp_path, caplog, make_cohort):
    with caplog.at_level(logging.WARNING):
        cohort = open_cohort(None, phantom_dir=tmp_path / "p", scans=3, size=16)
    assert "PHANTOM" in caplog.text
    assert len(cohort.scans) == 3
    caplog.clear()
    again = open_cohort(cohort.folder, phantom_dir=tmp_path / "unused")
    assert again == cohort
    assert not caplog.text
    assert not (tmp_path / "unused").exists()


def test_open_cohort_with_a_wrong_folder_is_no_phantom(tmp_path):
    with pytest.raises((FileNotFoundError, CohortError), match="nowhere"):
        open_cohort(tmp_path / "nowhere", phantom_dir=tmp_path / "p")
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(("domain", "brightness", "voxels"), [("target", 163.4220, 575), ("source", 102.3738, 517)])
def test_phantoms_do_not_change_between_versions(domain, brightness, voxels):
    image, label = phantom_volume(24, 0, domain)
    assert image.mean(dtype=np.float64) == pytest.approx(brightness, rel=1e-4)
    assert label.sum() == voxels


def test_the_default_domain_is_the_target():
    image, label = phantom_volume(24, 0)
    assert all(np.array_equal(a, b) for a, b in zip((image, label), phantom_volume(24, 0, "target"), strict=True))


def test_another_domain_has_other_images_and_shapes(tmp_path):
    image, label = phantom_volume(32, 5, "source")
    usual, usual_label = phantom_volume(32, 5)
    assert label.any() and not np.array_equal(label, usual_label) and not np.array_equal(image, usual)
    write_phantom(tmp_path / "source", scans=3, size=16, domain="source")
    with pytest.raises(ValueError, match="prepared before with domain 'source'"):
        write_phantom(tmp_path / "source", scans=3, size=16)
    for make in (lambda: phantom_volume(16, 0, "mars"), lambda: write_phantom(tmp_path / "mars", domain="mars")):
        with pytest.raises(ValueError, match=r"domain must be one of target, source, .*, got 'mars'"):
            make()
    assert not (tmp_path / "mars").exists()


# --- planted groups ---


@pytest.fixture(params=range(4))
def patient(request):
    """The same patient's image in each domain, and the label that they share."""
    scans = {name: phantom_volume(32, request.param, name) for name in DOMAINS if name != "target"}
    images, labels = ({name: scan[part] for name, scan in scans.items()} for part in (0, 1))
    assert all(np.array_equal(label, labels["source"]) for label in labels.values())
    return images, labels["source"] == 1


def contrast(image, organ):
    """Logarithm of the ratio of intensities just inside the organ's border to those just outside."""
    inside, outside = organ & ~binary_erosion(organ), binary_dilation(organ, iterations=2) & ~organ
    return np.log(np.median(image[inside]) / np.median(image[outside]))


def test_black_blood_looks_different_and_the_organ_is_as_distinct(patient):
    images, organ = patient
    assert contrast(images["source"], organ) > 0.5 and contrast(images["unlike_source"], organ) < -0.5
    assert np.corrcoef(images["source"].ravel(), images["unlike_source"].ravel())[0, 1] < -0.5


def test_a_hard_organ_has_a_faint_border_and_much_else_is_as_usual(patient):
    images, organ = patient
    assert 0 < contrast(images["hard_organ"], organ) < contrast(images["source"], organ) / 3
    assert np.isclose(images["hard_organ"], images["source"])[~organ].mean() > 0.3


def test_a_hard_background_is_noisier_far_from_the_organ_alone(patient):
    images, organ = patient
    changed = images["hard_background"] != images["source"]
    assert not changed[binary_dilation(organ, np.ones((7, 7, 7)))].any() and changed.mean() > 0.3
    usual, noisy = (np.abs(np.diff(images[name], axis=0))[changed[1:]].mean() for name in ("source", "hard_background"))
    assert noisy > 2 * usual
