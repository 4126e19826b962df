"""Files that are either complete or not there: written beside their place, then moved into it."""

from __future__ import annotations

import hashlib
import json
import os
import reprlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

NIFTI_SUFFIXES = (".nii.gz", ".nii")
RECORD = "prepared.json"
"""File of a claimed folder that holds its settings."""


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


def read_json(path: str | Path) -> Any:
    """Reads a JSON file.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is not valid JSON; the message names the place.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected valid JSON, found an error: {error}.") from error


def write_json(path: str | Path, content: Any) -> None:
    """Writes ``content`` as indented JSON, atomically.

    Raises:
        ValueError: If a number is NaN or infinite, which JSON does not know.
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file in UTF-8, atomically; it is on disk when this returns."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def scan_name(path: str | Path) -> str:
    """The id of a scan: its file name without .nii or .nii.gz."""
    name = Path(path).name
    return next((name.removesuffix(suffix) for suffix in NIFTI_SUFFIXES if name.endswith(suffix)), name)


def write_nifti(
    path: str | Path, array: np.ndarray, affine: np.ndarray, header: nib.Nifti1Header | None = None
) -> None:
    """Writes ``array`` unscaled in its own data type, atomically.

    Args:
        path: File to write, ending in .nii.gz (lightly compressed) or .nii.
        array: The voxels.
        affine: Matrix 4x4 from voxel indices to millimetres in RAS+ space.
        header: Header of the image on the same grid, if any, whose codes and units are kept.
    """
    image = nib.Nifti1Image(array, affine, header, dtype=array.dtype)
    if header is None:
        image.header.set_xyzt_units("mm")
        image.set_sform(affine, code="scanner")
        image.set_qform(affine, code="scanner")
    image.header.set_slope_inter(1, 0)
    with replacing(path) as temporary:
        nib.save(image, temporary)


def read_checkpoint(path: Path, *, expected: str, found: str, mmap: bool = False) -> Any:
    """Reads a file that holds nothing but tensors and Python's own types, onto the CPU.

    Args:
        path: File that ``torch.save`` has written.
        expected: What the file should hold, in words for the error's message.
        found: What it seems to be if it cannot be read, in words for the error's message.
        mmap: Whether tensors are read as they are used, for those who need few of them.

    Raises:
        ValueError: If the file is damaged, or code would have to be run to read it.
    """
    try:
        return torch.load(path, map_location="cpu", mmap=mmap, weights_only=True)
    except Exception as error:  # for a damaged file, torch raises whatever zip and pickle raise
        reason = (str(error).splitlines() or [""])[0]
        if "weights_only" in str(error):
            reason = "it holds more than tensors; save the state_dict alone"
        raise ValueError(f"{path}: expected {expected}, found {found} ({type(error).__name__}: {reason})") from error


def digest(*parts: str | Tensor) -> str:
    """A checksum of texts and tensors (their values, types and shapes), 32 hexadecimal digits."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, Tensor):
            found.update(f"tensor {part.dtype} {tuple(part.shape)} ".encode())
            found.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        else:
            text = part.encode()
            found.update(f"text {len(text)} ".encode() + text)
    return found.hexdigest()


def claim(folder: str | Path, settings: Mapping[str, Any], *, free: Collection[str] = ()) -> Path:
    """Reserves a folder for the results of these settings, or recognises it if they are the same again.

    Args:
        folder: Folder to fill, made if it does not exist.
        settings: Everything that decides what is written there, in types that JSON knows.
        free: Names of settings that may differ from the recorded ones; the new values are recorded.

    Raises:
        ValueError: If the folder was claimed with other settings, or holds files and was never claimed.
    """
    folder = Path(folder)
    record = folder / RECORD
    wanted = json.loads(json.dumps(settings))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder, found a file.")
    if record.is_file():
        found = read_json(record)
        if not isinstance(found, dict):
            raise ValueError(
                f"{record}: expected the settings of a prepared folder, found {type(found).__name__}; choose another "
                "folder, or delete this one first."
            )
        names = [name for name in wanted | found if wanted.get(name) != found.get(name)]
        fixed = [name for name in names if name not in free]
        if fixed:
            former = ", ".join(
                f"{name} {reprlib.repr(found.get(name))}, not {reprlib.repr(wanted.get(name))}" for name in fixed
            )
            raise ValueError(
                f"{folder}: prepared before with {former}; choose another folder, or delete this one first."
            )
        if names:
            write_json(record, wanted)
    elif folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise ValueError(
            f"{folder}: expected an empty folder or one prepared before, found other files; choose another."
        )
    else:
        write_json(record, wanted)
    return folder
