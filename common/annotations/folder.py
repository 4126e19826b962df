"""Annotation by people through a folder: requests are written to it, and finished drawings read from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import io_orientation

from common import IGNORE_INDEX
from common.annotations.annotation import Annotation, Suggestions
from common.annotations.cross_label import complete_slices
from common.annotations.values import check_values, class_names
from common.cohort.check import grid_text
from common.cohort.cohort import Scan
from common.cohort.volumes import VIEWS, integer_labels, open_nifti, read_voxels, same_grid, to_ras
from common.files import read_json, write_json, write_nifti

AXES = ("first (i)", "second (j)", "third (k)")
DIRECTIONS = ("left to right", "posterior to anterior", "inferior to superior")


class AnnotationsPending(Exception):
    """Raised when somebody must draw before the run can continue; the message says what to draw and where.

    Attributes:
        scans: Ids of the scans that wait for an annotation.
        request: File that lists them.
    """

    def __init__(self, scans: Sequence[str], request: Path, message: str) -> None:
        super().__init__(message)
        self.scans = list(scans)
        self.request = request


@dataclass(frozen=True)
class SliceRequest:
    """One slice to draw on.

    Attributes:
        view: View of the slice: "axial", "coronal" or "sagittal".
        ras_index: Index along the view's axis of the scan's RAS grid, from 0.
        file_axis: Axis of the file's own voxel array that the slice is counted along, 0 to 2.
        file_index: Index along that axis, from 0.
        millimetres: World coordinate (RAS+) of the middle of the slice, along the view's axis.
    """

    view: str
    ras_index: int
    file_axis: int
    file_index: int
    millimetres: float


def slice_request(view: str, ras_index: int, shape: Sequence[int], affine: np.ndarray) -> SliceRequest:
    """Finds a slice of the RAS grid in the file.

    Args:
        view: View of the slice.
        ras_index: Index of the slice along the view's axis of the RAS grid.
        shape: Shape of the file's voxel array.
        affine: Affine of the file, 4x4.

    Raises:
        ValueError: If the view is unknown or the scan has no such slice.
    """
    if view not in VIEWS:
        raise ValueError(f"view must be one of {', '.join(VIEWS)}, got {view!r}.")
    orientation = io_orientation(affine)
    file_axis = int(np.flatnonzero(orientation[:, 0] == VIEWS[view])[0])
    if not 0 <= ras_index < shape[file_axis]:
        raise ValueError(f"{view} slice must lie in 0..{shape[file_axis] - 1}, got {ras_index}.")
    file_index = ras_index if orientation[file_axis, 1] > 0 else shape[file_axis] - 1 - ras_index
    middle = (np.asarray(shape, float) - 1) / 2
    middle[file_axis] = file_index
    world = affine @ np.array([*middle, 1.0])
    return SliceRequest(view, int(ras_index), file_axis, int(file_index), round(float(world[VIEWS[view]]), 2))


class FolderAnnotator:
    """Asks for annotations through a folder and reads them once they are drawn.

    The request of a round is ``requests/round_03.json``. Beside it lies one template for each scan,
    ``requests/round_03/SCAN.nii.gz``, on the scan's own grid and filled with 255. People draw in the templates. Files
    that exist are never overwritten.

    Args:
        folder: Folder in which to put the requests and templates.
        labels: Name of each class 1..K (:attr:`common.cohort.Cohort.labels`).
        dense: Whether to ask for whole scans, and accept nothing less, instead of three slices of each scan.
        query: Name of the query strategy, which is recorded in the requests; requests of another one are refused.
    """

    name = "folder"

    def __init__(
        self, folder: str | Path, labels: Mapping[int, str], dense: bool = False, query: str | None = None
    ) -> None:
        self.dense = dense
        self.query = query
        self.folder = Path(folder)
        self.labels = dict(labels)

    def request_path(self, round: int) -> Path:
        """File that says what to draw in a round."""
        return self.folder / "requests" / f"round_{round:02d}.json"

    def template_path(self, round: int, scan_id: str) -> Path:
        """File in which a scan's annotation is drawn."""
        return self.request_path(round).with_suffix("") / f"{scan_id}.nii.gz"

    def requested(self, round: int) -> list[str] | None:
        """Ids of the scans that a round has asked for, which a resumed round keeps to; None if it has not asked yet.

        Raises:
            ValueError: If the request is damaged or was made by another strategy.
        """
        path = self.request_path(round)
        return [scan["scan"] for scan in self._request(path)["scans"]] if path.is_file() else None

    def annotate(
        self, scans: Sequence[Scan], *, round: int, suggestions: Suggestions | None = None
    ) -> dict[str, Annotation]:
        """Reads the annotations, or asks for those that are not drawn yet.

        Args:
            scans: Scans to annotate; some of those that the round has asked for, if it has asked before.
            round: Number of the round that chose them.
            suggestions: For each scan, the slice to draw on in each view, as an index of the scan's RAS grid; the
                middle of the volume where there is none. Only the first call for a round heeds them.

        Returns:
            Annotation by scan. ``slices`` are those drawn on: for each view the completely annotated slice, the one
            closest to the request if there are several.

        Raises:
            AnnotationsPending: If any scan has no annotation as requested yet, after the request and the templates are
                written. The message names everything that is wrong with what is drawn.
            ValueError: If the round has asked for other scans.
        """
        request = {scan["scan"]: scan for scan in self._write_request(scans, round, suggestions or {})}
        annotations: dict[str, Annotation] = {}
        wrong: list[str] = []
        for scan in scans:
            try:
                annotation = self._collect(scan, self.template_path(round, scan.id), request[scan.id]["slices"])
            except ValueError as error:
                wrong.append(str(error))
                continue
            if annotation is not None:
                annotations[scan.id] = annotation
        pending = [request[scan.id] for scan in scans if scan.id not in annotations]
        if pending:
            names = [scan["scan"] for scan in pending]
            wrong += self._strangers(request, round)
            raise AnnotationsPending(names, self.request_path(round), self._message(pending, wrong, round))
        return annotations

    def _strangers(self, request: Collection[str], round: int) -> list[str]:
        """What to say of files beside the templates, which nobody reads."""
        folder = self.request_path(round).with_suffix("")
        templates = {self.template_path(round, scan) for scan in request}
        found = sorted(path for path in folder.iterdir() if path not in templates and not path.name.startswith("."))
        return [
            f"{path}: expected drawings in place of the templates alone, found a file beside them." for path in found
        ]

    def _write_request(self, scans: Sequence[Scan], round: int, suggestions: Suggestions) -> list[dict[str, Any]]:
        """Writes the round's request and templates where they are missing; returns the request's scans."""
        path = self.request_path(round)
        former = self.requested(round)
        ids = [scan.id for scan in scans]
        if former is not None and not set(ids) <= set(former):
            raise ValueError(
                f"{path}: expected a request for {', '.join(ids)}, found one for {', '.join(former)}; resume the run "
                "that asked for them, or use another folder."
            )
        if former is None:
            content = [self._scan_request(scan, round, suggestions.get(scan.id, {})) for scan in scans]
            values = {"0": "background", **{str(value): name for value, name in self.labels.items()}}
            values[str(IGNORE_INDEX)] = "not annotated"
            by = {} if self.query is None else {"query": self.query}
            write_json(path, {"round": round, **by, "values": values, "scans": content})
        for scan in scans:
            template = self.template_path(round, scan.id)
            if not template.exists():
                image = open_nifti(scan.image)
                empty = np.full(image.shape[:3], IGNORE_INDEX, np.uint8)
                write_nifti(template, empty, image.affine, _plain_header(image))
        return self._request(path)["scans"]

    def _scan_request(self, scan: Scan, round: int, suggested: Mapping[str, int]) -> dict[str, Any]:
        image = open_nifti(scan.image)
        ras_shape = to_ras(np.empty(image.shape[:3], bool), image.affine)[0].shape
        views = {} if self.dense else VIEWS
        slices = {view: suggested.get(view, ras_shape[axis] // 2) for view, axis in views.items()}
        return {
            "scan": scan.id,
            "image": str(scan.image),
            "draw_in": str(self.template_path(round, scan.id)),
            "slices": [
                vars(slice_request(view, int(index), image.shape[:3], image.affine)) for view, index in slices.items()
            ],
        }

    def _request(self, path: Path) -> dict[str, Any]:
        content = read_json(path)
        scans = content.get("scans") if isinstance(content, dict) else None
        if not isinstance(scans, list) or not all(isinstance(scan, dict) and "scan" in scan for scan in scans):
            raise ValueError(f"{path}: expected a request with `scans`, found something else; delete it to ask again.")
        by = content.get("query", self.query)
        if by != self.query:
            raise ValueError(
                f"{path}: expected a request by the query {self.query}, found one by {by}; resume with "
                "that query, or use another folder."
            )
        return content

    def _collect(self, scan: Scan, path: Path, requested: Sequence[Mapping[str, Any]]) -> Annotation | None:
        """The annotation drawn in ``path``; None if nothing is drawn yet."""
        voxels, drawing = read_voxels(path)
        image = open_nifti(scan.image)
        if not same_grid(image.shape[:3], image.affine, voxels.shape, drawing.affine):
            raise ValueError(
                f"{path}: expected the grid of {scan.image.name}, {grid_text(image.shape[:3], image.affine)}, found "
                f"{grid_text(voxels.shape, drawing.affine)}; save the drawing without resampling or cropping."
            )
        array, affine = to_ras(integer_labels(voxels, path), drawing.affine)
        array = np.ascontiguousarray(array)
        values = np.unique(array).tolist()
        if values == [IGNORE_INDEX]:
            return None
        check_values(array, self.labels, what=str(path))
        if self.dense and IGNORE_INDEX in values:
            left = int((array == IGNORE_INDEX).sum())
            raise ValueError(f"{path}: expected every voxel to be set, found {left:,} at {IGNORE_INDEX}.")
        if IGNORE_INDEX not in values:
            return Annotation(array, affine, None, self.name)
        slices = complete_slices(array, {item["view"]: item["ras_index"] for item in requested})
        missing = [SliceRequest(**item) for item in requested if item["view"] not in slices]
        if missing:
            raise ValueError(f"{path}: expected every voxel to be set {_left(missing, array)}.")
        return Annotation(array, affine, slices, self.name)

    def _message(self, pending: Sequence[dict[str, Any]], wrong: Sequence[str], round: int) -> str:
        count = f"{len(pending)} annotation{'s' * (len(pending) > 1)}"
        how = "all of" if self.dense else "(slices are counted from 0):"
        lines = [f"Round {round} waits for {count}. Please draw {how}"]
        if wrong:
            lines = [f"Round {round} cannot take these drawings as they are:", "", *wrong, "", *lines]
        for scan in pending:
            lines += ["", f"{scan['scan']}", f"  image:   {scan['image']}", f"  draw in: {scan['draw_in']}"]
            lines += [f"  {_slice_text(SliceRequest(**item))}" for item in scan["slices"]]
        rest = (
            f"Leave the rest at {IGNORE_INDEX}. Where a slice shows none of these, take another one of its view; "
            "further slices are welcome."
        )
        lines += [
            "",
            f"{'Set' if self.dense else 'On each of these slices set'} every voxel: 0 background, "
            f"{class_names(self.labels)}. {'' if self.dense else rest}".rstrip(),
            "Save in place, then run the same command again: it continues from here.",
        ]
        return "\n".join(lines)


def _left(missing: Sequence[SliceRequest], array: np.ndarray) -> str:
    """Which slices are not complete, and how many voxels are left on each."""
    parts = []
    for item in missing:
        plane = array.take(item.ras_index, axis=VIEWS[item.view])
        left = np.count_nonzero(plane == IGNORE_INDEX)
        parts.append(
            f"on the {item.view} slice {item.file_index} along the file's {AXES[item.file_axis]} axis (or on another "
            f"{item.view} one), found {left:,} of {plane.size:,} at {IGNORE_INDEX}"
        )
    return "; ".join(parts)


def _plain_header(image: nib.Nifti1Image) -> nib.Nifti1Header:
    header = image.header.copy()
    header.set_data_dtype(np.uint8)
    header["cal_min"] = header["cal_max"] = 0
    return header


def _slice_text(item: SliceRequest) -> str:
    axis = VIEWS[item.view]
    return (
        f"{item.view + ':':9} slice {item.file_index} along the file's {AXES[item.file_axis]} axis, at {'xyz'[axis]} = "
        f"{item.millimetres:g} mm (slice {item.ras_index} counted from {DIRECTIONS[axis]})"
    )
