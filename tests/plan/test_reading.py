"""Fingerprints of small cohorts, worked out by hand."""

import numpy as np
import pytest

from common.cohort import Cohort, CohortError
from common.plan import read_fingerprint
from common.plan.reading import _spread
from tests.plan.made_up import write_cohort
from tests.samples import save

AFFINE = np.array([[0, 0, -2.0, 90], [0.5, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]])
"""Axes of the file: anterior by 0.5 mm, superior by 1 mm, left by 2 mm."""


def scan(seed=0, *, turned=False):
    """40 x 8 x 10 voxels: two blobs of 4 x 2 x 3 along the first axis, one 6 voxels after the other."""
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 10, (40, 8, 10)).astype(np.float32)
    image[[0, -1]] = 0
    image[:9] = 0
    label = np.zeros(image.shape, np.uint8)
    first, second = (2, 1) if turned else (1, 2)
    label[20:24, 2:4, 5:8], label[26:30, 2:4, 5:8] = first, second
    return image, label


@pytest.fixture
def found(tmp_path):
    folder = write_cohort(tmp_path, [scan(seed) for seed in range(3)] + [(scan(3)[0], None)], affine=AFFINE)
    return read_fingerprint(Cohort.open(folder), progress=False)


def test_grids_are_those_of_ras(found):
    assert found.sizes == [(10.0, 40.0, 8.0)] * 4
    np.testing.assert_allclose(found.spacings, [(2.0, 0.5, 1.0)] * 4)
    np.testing.assert_allclose(found.spacing, (2.0, 0.5, 1.0))
    np.testing.assert_allclose(found.sizes_at((1.0, 1.0, 1.0)), [(20, 20, 8)] * 4)


def test_counts(found):
    assert (found.training, found.labelled, found.read, found.sparse, found.channels) == (4, 3, 4, 0, 1)
    assert found.num_classes == 3
    assert found.image_bytes == 4 * 40 * 8 * 10 * 4


def test_foreground(found):
    # A blob has 24 voxels of 1 mm3.
    assert found.volumes_mm3 == pytest.approx({1: 24.0, 2: 24.0})
    values = np.concatenate([image[label > 0] for image, label in map(scan, range(3))])
    assert found.window == pytest.approx((*np.percentile(values, [0.5, 99.5]), values.mean(), values.std()), rel=1e-5)
    assert found.background == pytest.approx(0.25) and found.empty_is_zero


def test_classes_that_differ_by_their_place_alone(found, tmp_path):
    # The first axis of the files is the second of RAS.
    assert found.directed == (1,)
    turned = write_cohort(tmp_path / "b", [scan(seed, turned=seed == 2) for seed in range(3)], affine=AFFINE)
    assert read_fingerprint(Cohort.open(turned), progress=False).directed == ()


def test_classes_that_intensities_tell_apart_are_not_directed(tmp_path):
    scans = []
    for seed in range(3):
        image, label = scan(seed)
        image[label == 2] += 100
        scans.append((image, label))
    folder = write_cohort(tmp_path, scans, affine=AFFINE)
    assert read_fingerprint(Cohort.open(folder), progress=False).directed == ()


def test_partial_annotations_count_but_tell_no_volume(tmp_path):
    image, label = scan()
    label[:, 3] = 255
    found = read_fingerprint(Cohort.open(write_cohort(tmp_path, [(image, label)])), progress=False)
    assert found.sparse == 1 and found.volumes_mm3 == {} and found.window is not None


def test_channels_and_a_modality_by_name(tmp_path):
    image, label = scan()
    four = np.stack([image] * 4, axis=-1)
    names = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    found = read_fingerprint(Cohort.open(write_cohort(tmp_path, [(four, label)], modality=names)), progress=False)
    assert found.channels == 4 and found.modality == "mr" and "FLAIR, T1w" in found.modality_reason
    found = read_fingerprint(Cohort.open(tmp_path), modality="other", progress=False)
    assert (found.modality, found.modality_reason) == ("other", "given as --modality")


def test_ct_by_its_intensities(tmp_path):
    image, label = scan()
    image[:10] = -1000
    image[-1] = 5
    found = read_fingerprint(Cohort.open(write_cohort(tmp_path, [(image, label)] * 2)), progress=False)
    assert found.modality == "ct"
    assert found.background == 0 and not found.empty_is_zero


def test_no_scan_for_training(tmp_path):
    folder = write_cohort(tmp_path, [], test=["images/anna.nii.gz"])
    with pytest.raises(CohortError, match=r"expected scans for training in datalist\.json, found none"):
        read_fingerprint(Cohort.open(folder), progress=False)


def test_everything_wrong_is_said_at_once(tmp_path):
    image, label = scan()
    folder = write_cohort(tmp_path, [(image, label)] * 5)
    save(folder / "images/scan_1.nii.gz", np.stack([image] * 2, axis=-1))
    (folder / "images/scan_3.nii.gz").write_bytes(b"nothing")
    with pytest.raises(CohortError) as caught:
        read_fingerprint(Cohort.open(folder), progress=False)
    assert len(caught.value.problems) == 2
    assert "scan_1.nii.gz: expected 1 channels, as most scans have, found 2" in str(caught.value)


def test_voxels_that_cannot_be_used(tmp_path):
    image, label = scan()
    folder = write_cohort(tmp_path, [(image, label)] * 3)
    broken = image.copy()
    broken[5, 5, 5] = np.nan
    save(folder / "images/scan_0.nii.gz", broken)
    save(folder / "labels/scan_2.nii.gz", label[:-1])
    with pytest.raises(CohortError) as caught:
        read_fingerprint(Cohort.open(folder), progress=False)
    assert "scan_0.nii.gz: expected finite intensities" in caught.value.problems[0]
    assert "scan_2.nii.gz: expected the grid of scan_2.nii.gz" in caught.value.problems[1]


def test_large_cohorts_are_read_in_part_spread_evenly():
    # 50 million voxels a scan: 20 scans make a thousand million.
    assert _spread(range(200), [50_000_000] * 200) == np.linspace(0, 199, 20).round().astype(int).tolist()
    assert _spread(range(200), [50_000] * 200) == list(range(200))
    assert len(_spread(range(200), [10**9] * 200)) == 8
