"""Reads NRRD, MetaImage and other files, and stacks of DICOM slices, through ITK."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
"""Files that are read through ITK; NIfTI files are read through nibabel."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From ITK's and DICOM's axes, towards left and posterior, to those of NIfTI."""


def itk() -> Any:
    """The package ITK, which is imported when it is first needed, because that takes seconds.

    Raises:
        ImportError: If it is not installed; it says how to install it.
    """
    try:
        import itk
    except ImportError as error:
        raise ImportError("ITK is needed to read NRRD, MHA and DICOM files: python -m pip install itk-io") from error
    return itk


@dataclass(frozen=True)
class Header:
    """What is known of an image before its voxels are read.

    Attributes:
        shape: Number of voxels along each axis.
        components: Numbers per voxel.
        kind: ITK's name for the type of a number, such as ``short``, after any rescaling.
        affine: Matrix 4x4 from voxel indices to millimetres in RAS+ space; of the first three axes.
        tags: DICOM tags such as ``0020|0032`` and their texts; empty for other formats.
    """

    shape: tuple[int, ...]
    components: int
    kind: str
    affine: np.ndarray
    tags: dict[str, str]


def read_header(path: str | Path, *, dicom: bool = False) -> Header:
    """Reads the header of a file that ITK knows.

    Args:
        path: The file.
        dicom: Whether it is a DICOM file, which then needs no particular name.

    Raises:
        OSError, ValueError: If the file does not exist, cannot be read, or is empty, damaged or no image.
    """
    with open(path, "rb") as file:
        if not file.read(1):
            raise ValueError(f"{path}: expected an image, found an empty file; copy it again.")
    library = itk()
    if dicom:
        io = library.GDCMImageIO.New()
    else:
        io = library.ImageIOFactory.CreateImageIO(str(path), library.CommonEnums.IOFileMode_ReadMode)
    if io is None:
        raise ValueError(f"{path}: expected an image that ITK can read, found something else; convert it.")
    io.SetFileName(str(path))
    try:
        io.ReadImageInformation()
    except RuntimeError as error:
        raise ValueError(
            f"{path}: expected a complete image, found a truncated or damaged one {_reason(error)}; copy it again."
        ) from error
    axes = range(io.GetNumberOfDimensions())
    affine = np.eye(4)
    for axis in list(axes)[:3]:
        affine[: len(axes), axis][:3] = np.multiply(io.GetDirection(axis), io.GetSpacing(axis))[:3]
        affine[axis, 3] = io.GetOrigin(axis)
    tags = {}
    if dicom:
        found = io.GetMetaDataDictionary()
        tags = {key: str(found[key]).strip("\0 ") for key in found.GetKeys()}
    return Header(
        tuple(io.GetDimensions(axis) for axis in axes),
        io.GetNumberOfComponents(),
        io.GetComponentTypeAsString(io.GetComponentType()),
        LPS_TO_RAS @ affine,
        tags,
    )


def read_image(path: str | Path, *, dicom: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The voxels of a 3D image ``[H, W, D]`` with its rescaling applied, and its affine in RAS+ space.

    Args:
        path: The file.
        dicom: Whether it is a DICOM file, which then needs no particular name.

    Raises:
        OSError, ValueError: If the file cannot be read, is truncated, is not 3D or has several numbers per voxel.
    """
    header = read_header(path, dicom=dicom)
    volumes = int(np.prod(header.shape[3:])) * header.components
    if len(header.shape) < 3 or volumes != 1:
        raise ValueError(
            f"{path}: expected a 3D volume with 1 channel, found shape {header.shape} with {volumes}; save one volume "
            "per file."
        )
    library = itk()
    reader = library.ImageFileReader[library.Image[_pixel_type([header.kind]), 3]].New(FileName=str(path))
    if dicom:
        reader.SetImageIO(library.GDCMImageIO.New())
    return _voxels(reader, path), header.affine


def read_slices(files: Sequence[str | Path], kinds: Sequence[str]) -> np.ndarray:
    """The voxels ``[H, W, D]`` of DICOM files with one slice each, in the order given, with their rescaling applied.

    Args:
        files: The files, all of one size.
        kinds: Kinds of numbers in their headers.

    Raises:
        ValueError: If a file is truncated or damaged.
    """
    library = itk()
    reader = library.ImageSeriesReader[library.Image[_pixel_type(kinds), 3]].New(
        FileNames=[str(file) for file in files]
    )
    reader.SetImageIO(library.GDCMImageIO.New())
    return _voxels(reader, Path(files[0]).parent)


def _pixel_type(kinds: Sequence[str]) -> Any:
    """The type that holds numbers of these kinds without loss."""
    library = itk()
    types = {"unsigned_char": library.UC, "short": library.SS, "unsigned_short": library.US, "float": library.F}
    return types.get(kinds[0], library.D) if len(set(kinds)) == 1 else library.D


def _voxels(reader: Any, path: str | Path) -> np.ndarray:
    try:
        reader.Update()
    except RuntimeError as error:
        raise ValueError(
            f"{path}: expected a complete image, found a truncated or damaged one {_reason(error)}; copy it again."
        ) from error
    return np.ascontiguousarray(itk().array_from_image(reader.GetOutput()).T)


def _reason(error: RuntimeError) -> str:
    """The last line of ITK's message, in brackets; those before it name places in ITK's code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"({lines[-1]})" if lines else "(unknown reason)"
