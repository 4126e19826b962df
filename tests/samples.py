"""Files for the tests, and real ones where they are present."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

DATA = Path(__file__).parents[2] / "shared" / "data"


def save(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """Writes a NIfTI file as another tool would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def states(folder: Path) -> dict[str, int]:
    """When each file of a folder was last written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def needs_data(name: str) -> pytest.MarkDecorator:
    """Skips a test where that real data set is not beside the repository."""
    return pytest.mark.skipif(not (DATA / name).is_dir(), reason=f"no real data in {DATA / name}")
