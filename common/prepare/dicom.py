"""Finds series of slices among DICOM files, and tells what is wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.prepare.itk_images import LPS_TO_RAS, Header, read_header, read_image, read_slices

SOP_CLASS, SERIES, NUMBER = "0008|0016", "0020|000e", "0020|0011"
IMAGE_TYPE, DESCRIPTION = "0008|0008", "0008|103e"
POSITION, ORIENTATION = "0020|0032", "0020|0037"

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Class of pictures that no scanner has made, such as screenshots; derived images may be called secondary as well."""

PIXEL_DATA = b"\xe0\x7f\x10\x00"
"""Tag before the pixels, little endian, which structure sets, reports and the like do not have."""

UNEVEN = 0.1
"""Share of the distance between slices by which a slice may lie elsewhere than where an even stack has it."""


@dataclass(frozen=True)
class DicomSeries:
    """The slices of one DICOM series in one folder.

    Attributes:
        files: Its files; if there is nothing wrong with them, in order along the normal of the slices.
        uid: Its SeriesInstanceUID.
        number: Its SeriesNumber; empty if it has none.
        affine: Matrix 4x4 from voxel indices to millimetres in RAS+ space.
        kinds: Kind of number in each file, see :class:`common.prepare.itk_images.Header`.
        problems: What is wrong with the slices.
    """

    files: tuple[Path, ...]
    uid: str
    number: str
    affine: np.ndarray
    kinds: tuple[str, ...]
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.folder.resolve()} (series {self.uid})"

    @property
    def folder(self) -> Path:
        """The folder that holds the files."""
        return self.files[0].parent

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """The voxels ``[H, W, D]`` with the rescaling of each slice applied, and the affine in RAS+ space.

        Raises:
            ValueError: If there are problems, or a file is truncated or damaged.
        """
        if self.problems:
            raise ValueError("\n".join(self.problems))
        if len(self.files) == 1:
            return read_image(self.files[0], dicom=True)
        return read_slices(self.files, self.kinds), self.affine


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by the mark after its preamble, and no directory of other files.

    Raises:
        OSError: If the file cannot be read.
    """
    if path.name.upper() == "DICOMDIR":
        return False
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def find_series(
    files: Sequence[Path], *, progress: bool = False
) -> tuple[list[DicomSeries], list[str], dict[Path, str]]:
    """Sorts DICOM files into series, one for each folder and SeriesInstanceUID.

    Args:
        files: DICOM files of any kind.
        progress: Whether to show a progress bar.

    Returns:
        The series that are scans; a line about each series or file that is none: localisers, secondary captures, single
        slices, and files that hold no image; and what is wrong with files that hold a damaged one.
    """
    found: dict[tuple[Path, str], dict[Path, Header]] = defaultdict(dict)
    left_out = []
    damaged = {}
    for file in tqdm(files, desc="DICOM", unit="file", disable=not progress or not files):
        try:
            header = read_header(file, dicom=True)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) or PIXEL_DATA in file.read_bytes():
                damaged[file] = str(error)
            else:
                left_out.append(f"{file}: left out, it holds no image.")
            continue
        found[file.parent, header.tags.get(SERIES, "")][file] = header
    series = []
    for (folder, uid), headers in found.items():
        if reason := _no_scan(list(headers.values())):
            tags = next(iter(headers.values())).tags
            name = " ".join(tags[tag] for tag in (NUMBER, DESCRIPTION) if tags.get(tag)) or uid
            left_out.append(f"{folder}: series {name} ({len(headers)} files) left out, {reason}.")
        else:
            series.append(_series(uid, headers))
    return [_told_apart(one, series) for one in series], left_out, damaged


def _told_apart(one: DicomSeries, series: Sequence[DicomSeries]) -> DicomSeries:
    """The series; with a problem if another folder holds slices of it as well."""
    others = [other.folder for other in series if other.uid == one.uid != "" and other is not one]
    if not others:
        return one
    problem = (
        f"{one.folder}: expected a series in one folder, found the series {one.uid} in {others[0]} too; remove one."
    )
    return replace(one, problems=(*one.problems, problem))


def _no_scan(headers: Sequence[Header]) -> str | None:
    """Why slices are no scan, if they are none."""
    tags = headers[0].tags
    if tags.get(SOP_CLASS, "").startswith(SECONDARY_CAPTURE):
        return "a secondary capture"
    if any("LOCALIZER" in header.tags.get(IMAGE_TYPE, "").upper() for header in headers):
        return "a localiser"
    if len(headers) == 1 and headers[0].shape[2:] in ((), (1,)):
        return "a single slice"
    if any(header.components > 1 for header in headers):
        return "pictures in colour"
    directions = [_numbers(header, ORIENTATION) for header in headers]
    known = [direction for direction in directions if len(direction) == 6]
    if len(known) == len(headers) and np.ptp(known, axis=0).max() > 0.01:
        return "slices in several orientations, as a localiser has"
    return None


def _series(uid: str, headers: dict[Path, Header]) -> DicomSeries:
    """A series with its files in order, or with what is wrong with them."""
    first = next(iter(headers.values()))
    affine, problems, files = first.affine, [], list(headers)
    if len(headers) > 1:
        folder = files[0].parent
        positions = [_numbers(header, POSITION) for header in headers.values()]
        direction = _numbers(first, ORIENTATION)
        shapes = sorted({header.shape for header in headers.values()})
        if len(shapes) > 1 or shapes[0][2:] not in ((), (1,)):
            sizes = ", ".join(" × ".join(map(str, shape)) for shape in shapes)
            problems = [f"{folder}: expected slices of one size, found {sizes} voxels; remove what does not belong."]
        elif len(direction) != 6 or any(len(position) != 3 for position in positions):
            problems = [f"{folder}: expected the position and orientation of every slice, found slices without."]
        else:
            normal = np.cross(direction[:3], direction[3:])
            order = np.argsort(np.array(positions) @ normal, kind="stable")
            files = [files[place] for place in order]
            sorted_positions = np.array(positions)[order]
            problems = _stack_problems(files, sorted_positions, normal)
            step = (sorted_positions[-1] - sorted_positions[0]) / (len(files) - 1)
            matrix = np.eye(4)
            matrix[:3, :2] = first.affine[:3, :2] * [[-1], [-1], [1]]
            matrix[:3, 2], matrix[:3, 3] = step, sorted_positions[0]
            affine = LPS_TO_RAS @ matrix
    kinds = tuple(headers[file].kind for file in files)
    return DicomSeries(tuple(files), uid, first.tags.get(NUMBER, ""), affine, kinds, tuple(problems))


def _stack_problems(files: Sequence[Path], positions: np.ndarray, normal: np.ndarray) -> list[str]:
    """What keeps slices, in order along their normal, from being an even stack."""
    folder = files[0].parent
    heights = positions @ normal
    steps = np.diff(heights)
    apart = steps[steps > 1e-3]
    usual = float(np.percentile(apart, 50, method="lower")) if len(apart) else 0.0
    if same := [place for place, step in enumerate(steps) if step <= max(1e-3, UNEVEN * usual)]:
        place = same[0]
        return [
            f"{folder}: expected one slice at each position, found {len(same)} duplicates, such as {files[place].name} "
            f"and {files[place + 1].name} at {heights[place]:.4g} mm; remove them, or put each time point in a folder "
            "of its own."
        ]
    if gaps := [place for place, step in enumerate(steps) if abs(step / usual - 1) > UNEVEN]:
        places = ", ".join(f"{heights[place]:.4g} and {heights[place + 1]:.4g}" for place in gaps[:3])
        return [
            f"{folder}: expected {len(files)} slices that are {usual:.4g} mm apart, found {len(gaps)} gaps, between "
            f"{places} mm; add the missing slices."
        ]
    even = positions[0] + np.linspace(0, 1, len(files))[:, None] * (positions[-1] - positions[0])
    astray = np.linalg.norm(positions - even, axis=1)
    if astray.max() > UNEVEN * usual * max(1, len(files) // 10):
        return [
            f"{folder}: expected slices in a straight stack, found {files[int(astray.argmax())].name} "
            f"{astray.max():.4g} mm beside it; remove what does not belong."
        ]
    return []


def _numbers(header: Header, tag: str) -> list[float]:
    """The numbers of a tag; none if it is missing or holds something else."""
    try:
        return [float(text) for text in header.tags.get(tag, "").split("\\")]
    except ValueError:
        return []
