"""Small cohorts to break."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

DATA = Path(__file__).parents[3] / "shared" / "data"


def save(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """Writes a NIfTI file as another tool would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def states(folder: Path) -> dict[str, int]:
    """When each file of a folder was last written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def make_cohort(tmp_path: Path) -> Callable[..., Path]:
    """Writes a healthy cohort of labelled scans and returns its folder."""

    def make(scans: int = 3, labels: dict[str, str] | None = None) -> Path:
        rng = np.random.default_rng(0)
        items = []
        for number in range(scans):
            label = np.zeros((6, 7, 8), np.uint8)
            label[2:4, 2:5, 3:6] = 1
            save(tmp_path / f"images/scan_{number}.nii.gz", rng.normal(size=label.shape).astype(np.float32))
            save(tmp_path / f"labels/scan_{number}.nii.gz", label)
            items.append({"image": f"images/scan_{number}.nii.gz", "label": f"labels/scan_{number}.nii.gz"})
        content = {"name": "test", "labels": labels or {"1": "blob"}, "training": items, "validation": [], "test": []}
        (tmp_path / "datalist.json").write_text(json.dumps(content))
        return tmp_path

    return make
