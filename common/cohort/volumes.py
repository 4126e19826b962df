"""Reads volumes from NIfTI files and turns them from their own grid to the RAS orientation that everything uses."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

VIEWS: dict[str, int] = {"axial": 2, "coronal": 1, "sagittal": 0}
"""Array axis along which a view's slices are counted, for a scan in RAS orientation (``Orientationd("RAS")``)."""


SUPPORTED = "a NIfTI file (NIfTI-1 or NIfTI-2, .nii or .nii.gz)"
"""The files that images, labels and annotations may be."""


def open_nifti(path: str | Path) -> nib.Nifti1Image:
    """Opens a NIfTI file, of version 1 or 2, without reading its voxels.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not a NIfTI file.
    """
    path = Path(path)
    if not exists(path):
        raise FileNotFoundError(f"{path}: no such file.")
    try:
        image = nib.load(path)
    except Exception as error:  # nibabel lets through whatever gzip, zlib and its header code raise
        found = f"one that does not open ({_reason(error)})"
        raise ValueError(f"{path}: expected {SUPPORTED}, found {found}; convert or copy it again.") from error
    if not isinstance(image, nib.Nifti1Image):  # NIfTI-2 is a subclass
        raise ValueError(f"{path}: expected {SUPPORTED}, found {type(image).__name__}; convert it.")
    return image


def exists(path: Path) -> bool:
    """Whether there is such a file; not if the file system cannot have one of this name."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_voxels(path: str | Path, channels: int = 1) -> tuple[np.ndarray, nib.Nifti1Image]:
    """The voxels of a NIfTI file on its own grid (scaled as its header says), and the opened file.

    Trailing axes of length 1 are dropped.

    Args:
        path: The NIfTI file.
        channels: Expected length of the fourth axis, which a file with 1 channel does not have.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not NIfTI, is truncated, is not 3D, has other channels or colours, or its affine is
            singular.
    """
    image = open_nifti(path)
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine[:3, :3])) < 1e-9:
        raise ValueError(
            f"{path}: expected an affine that can be inverted, found {image.affine[:3].round(4).tolist()}."
        )
    if len(shape) < 3 or shape[3:] != ((channels,) if channels > 1 else ()) or 0 in shape:
        expected = "a 3D volume with 1 channel" if channels == 1 else f"a 3D volume with {channels} channels"
        remedy = "; save one volume per file" if channels == 1 else ""
        raise ValueError(f"{path}: expected {expected}, found shape {image.shape} with {math.prod(shape[3:])}{remedy}.")
    try:
        voxels = np.asanyarray(image.dataobj).reshape(shape)
    except Exception as error:  # for a truncated file, gzip, zlib, mmap and nibabel raise different types
        raise ValueError(
            f"{path}: expected a complete NIfTI file, found a truncated or damaged one "
            f"({_reason(error)}); copy it again."
        ) from error
    if voxels.dtype.kind not in "biuf":
        kind = "colours" if voxels.dtype.names else str(voxels.dtype)
        raise ValueError(f"{path}: expected one number per voxel, found {kind}; save a grey image or a label map.")
    return voxels, image


def read_ras(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and affine of a NIfTI file with its axes reordered and flipped to the closest RAS orientation.

    Raises:
        FileNotFoundError, ValueError: As raised by :func:`read_voxels`.
    """
    voxels, image = read_voxels(path)
    return to_ras(voxels, image.affine)


def to_ras(voxels: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``voxels`` (a view of them) and ``affine`` with the axes reordered and flipped to the closest RAS orientation."""
    orientation = io_orientation(affine)
    return apply_orientation(voxels, orientation), affine @ inv_ornt_aff(orientation, voxels.shape)


def integer_labels(voxels: np.ndarray, path: str | Path) -> np.ndarray:
    """The label values ``voxels`` as uint8; ``path`` is their file, for the error's message.

    Raises:
        ValueError: If a value is not a whole number from 0 to 255.
    """
    if voxels.dtype == np.uint8:
        return voxels
    labels = voxels.astype(np.uint8) if voxels.dtype.kind in "biu" else np.nan_to_num(voxels, nan=-1).astype(np.uint8)
    wrong = voxels[labels != voxels]
    if wrong.size:
        found = ", ".join(f"{value:g}" for value in np.unique(wrong)[:5])
        raise ValueError(f"{path}: expected label values that are whole numbers from 0 to 255, found {found}.")
    return labels


def read_labels_ras(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """A label or annotation as uint8 ``[H, W, D]`` in RAS orientation, and its affine there.

    Raises:
        FileNotFoundError, ValueError: As raised by :func:`read_voxels` and :func:`integer_labels`.
    """
    voxels, affine = read_ras(path)
    return integer_labels(voxels, path), affine


def spacing(affine: np.ndarray) -> np.ndarray:
    """Distance between neighbouring voxels along each axis of a grid, in millimetres."""
    return np.sqrt((np.asarray(affine)[:3, :3] ** 2).sum(axis=0))


def scan_spacing(affine: np.ndarray) -> tuple[float, float, float]:
    """Distance between neighbouring voxels along the three axes of a grid, in millimetres, as plain numbers."""
    first, second, third = spacing(affine).tolist()
    return first, second, third


def same_grid(
    shape: tuple[int, ...], affine: np.ndarray, other_shape: tuple[int, ...], other_affine: np.ndarray
) -> bool:
    """Whether two grids have the same shape, and their corners lie at most a tenth of a voxel apart."""
    if tuple(shape) != tuple(other_shape):
        return False
    corners = np.array([[*corner, 1] for corner in itertools.product(*((0, size - 1) for size in shape))])
    apart = np.linalg.norm((corners @ (np.asarray(affine) - np.asarray(other_affine)).T)[:, :3], axis=1)
    return bool(apart.max() <= 0.1 * spacing(affine).min())


def _reason(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
