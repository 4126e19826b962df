"""Files that are either complete or not there: written beside their place, then moved into it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

NIFTI_SUFFIXES = (".nii.gz", ".nii")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path in the same folder, with the same ending, that replaces ``path`` when the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, content: Any) -> None:
    """Writes ``content`` as indented JSON, atomically.

    Raises:
        ValueError: if a number is NaN or infinite, which JSON does not know.
    """
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read_json(path: str | Path) -> Any:
    """Reads a JSON file.

    Raises:
        FileNotFoundError: if it does not exist.
        ValueError: if it is not valid JSON, naming the file and the place in it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected valid JSON, found an error: {error}.") from error


def write_nifti(
    path: str | Path, array: np.ndarray, affine: np.ndarray, header: nib.Nifti1Header | None = None
) -> None:
    """Writes ``array`` unscaled in its own data type, atomically.

    Args:
        path: ending in .nii.gz (lightly compressed) or .nii.
        array: voxels.
        affine: voxel indices to millimetres in RAS+ space, 4x4.
        header: of the image on the same grid, if any: its codes and units are kept.
    """
    image = nib.Nifti1Image(array, affine, header, dtype=array.dtype)
    if header is None:
        image.header.set_xyzt_units("mm")
        image.set_sform(affine, code="scanner")
        image.set_qform(affine, code="scanner")
    image.header.set_slope_inter(1, 0)
    with replacing(path) as temporary:
        nib.save(image, temporary)


def scan_name(path: str | Path) -> str:
    """File name without .nii or .nii.gz: a scan's id."""
    name = Path(path).name
    return next((name.removesuffix(suffix) for suffix in NIFTI_SUFFIXES if name.endswith(suffix)), name)
