"""How much memory there is, and how much images need."""

import sys

import nibabel as nib
import numpy as np
import pytest

from common.cohort import memory


def test_size_of_images_from_their_headers(tmp_path):
    for name, shape in {"a.nii": (3, 4, 5), "b.nii.gz": (2, 2, 2, 4)}.items():
        nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)), tmp_path / name)
    assert memory.images_size(sorted(tmp_path.iterdir())) == 4 * (60 + 32)


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ({}, 2048),
        ({"max": "max", "current": "9"}, 2048),
        ({"max": "1000", "current": "400"}, 600),
        ({"max": "5"}, 2048),
        ({"max": "10", "current": "30"}, 0),
    ],
)
def test_of_the_machine_or_the_container(tmp_path, monkeypatch, group, expected):
    (tmp_path / "meminfo").write_text("MemTotal:  9 kB\nMemFree:  1 kB\nMemAvailable:      2 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    for name, text in group.items():
        (tmp_path / f"memory.{name}").write_text(text + "\n")
    assert memory.memory_at_hand() == expected


def test_where_the_system_does_not_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "none")
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    pages = {"SC_PHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(memory.os, "sysconf", pages.get)
    assert memory.memory_at_hand() == 20480
    monkeypatch.delattr(memory.os, "sysconf")
    assert memory.memory_at_hand() == sys.maxsize
