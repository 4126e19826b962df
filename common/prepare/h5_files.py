"""Reads the h5 files of the semi-supervised literature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


def h5py() -> Any:
    """The package h5py.

    Raises:
        ImportError: If it is not installed; it says how to install it.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError("h5py is needed to read the benchmark's files: python -m pip install h5py") from error
    return h5py


@dataclass(frozen=True)
class H5Volume:
    """An array in an h5 file, which knows nothing of its place in the patient.

    Attributes:
        path: The file.
        key: Name of the array.
        spacing: Distance between its voxels along each axis, in millimetres.
    """

    path: Path
    key: str
    spacing: Sequence[float]

    def __str__(self) -> str:
        return str(self.path.resolve())

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """The voxels ``[H, W, D]``, and an affine that takes the axes for those of RAS.

        Raises:
            FileNotFoundError, ValueError: If the file does not exist, is truncated or has no such array, or that is not
                3D.
        """
        library = h5py()
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path}: no such file.")
        try:
            with library.File(self.path) as file:
                found = file.get(self.key)
                shape = getattr(found, "shape", None)
                voxels = found[:] if shape is not None and len(shape) == 3 else None
        except OSError as error:
            raise ValueError(
                f"{self.path}: expected a complete h5 file, found a truncated or damaged one ({error}); copy it again."
            ) from error
        if voxels is None:
            raise ValueError(f"{self.path}: expected a 3D array `{self.key}`, found {shape or 'none'}.")
        return voxels, np.diag([*self.spacing, 1.0])
