"""Finds images in a folder, and in the folders within it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from common.files import NIFTI_SUFFIXES
from common.prepare.convert import Where
from common.prepare.dicom import DicomSeries, find_series, is_dicom
from common.prepare.itk_images import SUFFIXES as ITK_SUFFIXES

FORMATS = ".nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd or DICOM series"
SEPARATORS = "_-."
"""Characters that may stand between parts of a name."""

SUFFIXES = (*NIFTI_SUFFIXES, *ITK_SUFFIXES)


@dataclass
class Volumes:
    """The images of a folder.

    Attributes:
        by_name: Files and DICOM series by name; several under one name are a mistake.
        unreadable: What cannot be read, by path, and why.
        notes: What is left out, line by line.
    """

    by_name: dict[str, list[Where]] = field(default_factory=lambda: defaultdict(list))
    unreadable: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find_volumes(folder: Path, *, without: Sequence[Path] = (), progress: bool = False) -> Volumes:
    """Finds images by their endings, and DICOM series by what their files hold; hidden files are left alone.

    A file's name is its path in the folder without the ending, with ``_`` between folders, where folders that the name
    begins with already are left out: ``a.nii`` and ``a/a.nii`` are ``a``, ``a/b.nii`` is ``a_b``. A DICOM series is
    named after its folder in the same way; where a folder holds several, ``_`` and the number of the series follow.

    Args:
        folder: The folder.
        without: Folders within it that are left alone.
        progress: Whether to show a progress bar for DICOM files.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder.")
    volumes = Volumes()
    others = {path.resolve() for path in without}

    def refuse(error: OSError) -> None:
        volumes.unreadable[str(error.filename)] = f"expected a folder that can be read, found {error.strerror}."

    slices: list[Path] = []
    damaged: dict[Path, str] = {}
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = sorted(name for name in folders if name[0] != "." and Path(place, name).resolve() not in others)
        for path in (Path(place, name) for name in sorted(names) if name[0] != "."):
            suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
            if suffix is not None:
                name = path.name[: -len(suffix)]
                volumes.by_name[joined((*path.parent.relative_to(folder).parts, name))].append(path)
                continue
            try:
                if is_dicom(path):
                    slices.append(path)
                elif path.suffix.lower() == ".dcm":
                    damaged[path] = f"{path}: expected a DICOM file, found an empty or damaged one; copy it again."
            except OSError as error:
                damaged[path] = f"{path}: expected a file that can be read, found {error.strerror}."
    series, left_out, damaged_slices = find_series(slices, progress=progress)
    damaged |= damaged_slices
    volumes.notes += left_out
    folders_of_series = {one.folder for one in series}
    volumes.notes += [line for path, line in damaged.items() if path.parent not in folders_of_series]
    _name_series([_with_damaged(one, damaged) for one in series], folder, volumes)
    return volumes


def _with_damaged(one: DicomSeries, damaged: Mapping[Path, str]) -> DicomSeries:
    """The series, which may lack slices if there are damaged files in its folder."""
    lines = [line for path, line in damaged.items() if path.parent == one.folder]
    return replace(one, problems=(*one.problems, *lines))


def _name_series(series: Sequence[DicomSeries], folder: Path, volumes: Volumes) -> None:
    by_folder = defaultdict(list)
    for one in series:
        by_folder[one.folder].append(one)
    for place, those in by_folder.items():
        base = joined(place.relative_to(folder).parts) or folder.resolve().name
        for one in those:
            volumes.by_name[base if len(those) == 1 else f"{base}_{one.number or one.uid}"].append(one)


def joined(parts: Sequence[str]) -> str:
    """The name for a path's parts: joined by ``_``, without folders that the rest begins with already.

    Example:
        >>> joined(["anna", "anna_t1"]), joined(["anna", "head", "t1"])
        ('anna_t1', 'anna_head_t1')
    """
    name = ""
    for part in reversed(parts):
        repeats = name == part or name.startswith(tuple(part + mark for mark in SEPARATORS))
        name = name if repeats else "_".join(filter(None, (part, name)))
    return name


def without_ending(name: str, ending: str) -> str | None:
    """The name before an ending and what separates them; None if it has another ending.

    Example:
        >>> without_ending("anna_t1", "t1"), without_ending("anna_t1", "_t1"), without_ending("anna_t1", "1")
        ('anna', 'anna', None)
    """
    ending = ending.lstrip(SEPARATORS)
    start = name.removesuffix(ending)
    return start[:-1] if ending and start != name and start[-1:] in tuple(SEPARATORS) and start[:-1] else None
