"""Scans as the benchmarks read them."""

import json

import numpy as np
import pytest
import torch
from scans import labelled_scans

from tests.samples import save

LPS = np.array([[-2.0, 0, 0, 10], [0, -3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])


def cohort(folder, image, label, affine):
    save(folder / "image.nii.gz", image, affine)
    save(folder / "label.nii.gz", label, affine)
    items = [{"image": "image.nii.gz", "label": "label.nii.gz"}]
    (folder / "datalist.json").write_text(json.dumps({"training": [], "validation": items}))
    return str(folder)


def test_a_scan_that_is_not_ras(tmp_path):
    image = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    label = (image.astype(np.uint8) % 3).astype(np.uint8)
    (scan,) = labelled_scans(cohort(tmp_path, image, label, LPS))
    assert scan.spacing == (2.0, 3.0, 4.0)
    assert torch.from_numpy(scan.image).tolist() == image[::-1, ::-1].tolist()
    assert torch.from_numpy(scan.label).tolist() == label[::-1, ::-1].tolist()


def test_axes_in_another_order(tmp_path):
    """The first axis of the file runs upwards and the last one from left to right."""
    affine = np.array([[0.0, 0, 4, 0], [0, 3, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]])
    image = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    (scan,) = labelled_scans(cohort(tmp_path, image, (image > 7).astype(np.float32), affine))
    assert scan.spacing == (4.0, 3.0, 2.0)
    assert torch.from_numpy(scan.image).tolist() == image.transpose(2, 1, 0).tolist()
    assert scan.image.dtype == np.float32 and scan.label.dtype == np.uint8


def test_half_resolution_of_a_scan_that_is_not_ras(tmp_path):
    """Every other voxel along the first axis is 8: the mean of each block is 4, on both grids."""
    image = np.zeros((4, 4, 4), np.float32)
    image[::2] = 8
    (scan,) = labelled_scans(cohort(tmp_path, image, (image > 0).astype(np.uint8), LPS))
    half = scan.halved()
    assert half.spacing == (4.0, 6.0, 8.0)
    assert half.image.tolist() == np.full((2, 2, 2), 4.0).tolist()
    assert half.label.tolist() == np.ones((2, 2, 2)).tolist()


def test_bad_input(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected datalist\.json"):
        next(labelled_scans(str(tmp_path)))
    with pytest.raises(ValueError, match="part must be training or validation, got 'test'"):
        next(labelled_scans(str(tmp_path), "test"))
