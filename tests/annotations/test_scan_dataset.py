"""Images that are read once: seeded random transforms, and images that do not fit into memory."""

import logging

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, Lambdad, LoadImaged, RandGaussianNoised, RandSpatialCropd
from monai.transforms.traits import RandomizableTrait

from common.annotations import scan_dataset
from common.annotations.scan_dataset import ScanDataset


class Count(RandomizableTrait):
    """A transform that is never cached."""

    calls = 0

    def __call__(self, item):
        Count.calls += 1
        return dict(item)


def test_items_depend_on_the_seed_alone_and_the_image_is_made_once():
    made = []

    def load(number):
        made.append(number)
        return torch.full((1, 2, 2, 2), float(number))

    transform = Compose([Lambdad("image", load), Count(), RandGaussianNoised("image", prob=1.0, std=0.5)])
    dataset = ScanDataset([{"image": 0}, {"image": 1}], transform=transform, progress=False)
    first = dataset[(1, 42)]["image"].clone()
    dataset[(0, 7)]
    torch.testing.assert_close(dataset[(1, 42)]["image"], first)
    assert not torch.equal(dataset[(1, 43)]["image"], first)
    torch.testing.assert_close(dataset[1]["image"], torch.ones(1, 2, 2, 2))
    assert sorted(made) == [0, 1]
    assert Count.calls == 4


@pytest.fixture
def scans(tmp_path):
    """Three scans with 16 voxels in all."""
    items = []
    for number, shape in enumerate([(2, 2, 2), (1, 2, 2), (4, 1, 1)]):
        voxels = np.random.default_rng(number).normal(size=shape).astype(np.float32)
        path = tmp_path / f"{number}.nii"
        nib.save(nib.Nifti1Image(voxels, np.diag([number + 1.0, 2, 3, 1])), path)
        items.append({"scan": str(number), "image": str(path)})
    return items


def datasets(monkeypatch, scans, folder, *, at_hand):
    transform = [
        LoadImaged("image", ensure_channel_first=True),
        RandSpatialCropd("image", roi_size=[1, 1, 1], random_size=False),
        RandGaussianNoised("image", prob=1.0),
    ]
    monkeypatch.setattr(scan_dataset, "memory_at_hand", lambda: at_hand)
    return ScanDataset(scans, Compose(transform), overflow_dir=folder, progress=False)


def test_images_that_do_not_fit_into_half_of_the_memory_come_from_disk(scans, tmp_path, monkeypatch, caplog):
    """16 voxels of 4 bytes fit into half of 128 bytes, and not into half of 127."""
    folder = tmp_path / "run"
    with caplog.at_level(logging.INFO, logger="common"):
        kept = datasets(monkeypatch, scans, folder, at_hand=128)
        assert not caplog.text and not folder.exists()
        mapped = datasets(monkeypatch, scans, folder, at_hand=127)
    assert f"they are read from the disk of {folder}" in caplog.text
    assert folder.is_dir() and not list(folder.iterdir())
    for number, scan in enumerate(scans):
        expected = nib.load(scan["image"])
        for dataset in (kept, mapped):
            np.testing.assert_array_equal(dataset[number]["image"][0], expected.get_fdata())
            np.testing.assert_array_equal(dataset[number]["image"].affine, expected.affine)
            assert dataset[number]["scan"] == scan["scan"]
        for seed in range(5):
            assert torch.equal(kept[(number, seed)]["image"], mapped[(number, seed)]["image"])


def test_what_a_batch_changes_does_not_reach_the_disk(scans, tmp_path, monkeypatch):
    mapped = datasets(monkeypatch, scans, tmp_path / "run", at_hand=0)
    first = mapped[0]["image"].clone()
    patch = mapped[(0, 1)]["image"]
    patch += 1
    assert torch.equal(mapped[0]["image"], first)


def test_processes_share_the_memory(scans, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(scan_dataset.idist, "get_nproc_per_node", lambda: 2)
    with caplog.at_level(logging.INFO, logger="common"):
        datasets(monkeypatch, scans, tmp_path / "a", at_hand=256)
        assert not caplog.text
        datasets(monkeypatch, scans, tmp_path / "b", at_hand=254)
    assert "read from the disk" in caplog.text
