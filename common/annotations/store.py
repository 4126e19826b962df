"""The store of annotations and pseudo-labels that training reads from."""

from __future__ import annotations

import filecmp
import itertools
import shutil
from pathlib import Path

import numpy as np

from common.cohort.volumes import read_voxels, same_grid
from common.files import replacing, write_nifti

KINDS = ("annotation", "pseudo_label")


class AnnotationStore:
    """Annotations on disk, one file for each scan and kind, in RAS orientation and uncompressed.

    They are read as memory maps: only the pages that are used are loaded, and worker processes share them. Replacing a
    file does not disturb those who still read the former one. Annotations that were replaced are kept as
    ``annotation/history/SCAN.1.nii``, ``SCAN.2.nii`` and so on, the oldest first.

    Args:
        folder: Folder of the files, ``KIND/SCAN.nii``.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, kind: str, scan_id: str) -> Path:
        """The file of a scan's annotation, whether it exists or not.

        Raises:
            ValueError: If the kind is unknown.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}.")
        return self.folder / kind / f"{scan_id}.nii"

    def has(self, kind: str, scan_id: str) -> bool:
        """Whether the scan has an annotation of this kind."""
        return self.path(kind, scan_id).is_file()

    def holds(self, scan_id: str, array: np.ndarray, affine: np.ndarray) -> bool:
        """Whether this very array, on the grid with this affine, is the scan's annotation.

        Raises:
            ValueError: If the file is damaged.
        """
        path = self.path("annotation", scan_id)
        if not path.is_file():
            return False
        voxels, image = read_voxels(path)
        return same_grid(array.shape, affine, voxels.shape, image.affine) and np.array_equal(voxels, array)

    def read(self, kind: str, scan_id: str) -> np.ndarray | None:
        """The annotation as a read-only memory map, uint8 ``[H, W, D]``; None if there is none.

        Raises:
            ValueError: If the file is damaged.
        """
        path = self.path(kind, scan_id)
        if not path.is_file():
            return None
        annotation = read_voxels(path)[0]
        annotation.flags.writeable = False
        return annotation

    def write(self, kind: str, scan_id: str, array: np.ndarray, affine: np.ndarray) -> None:
        """Stores an annotation atomically. A pseudo-label replaces the former one; an annotation is never replaced.

        Args:
            kind: Kind of annotation, "annotation" or "pseudo_label".
            scan_id: Id of the scan.
            array: Annotation uint8 ``[H, W, D]`` in RAS orientation.
            affine: Affine of that grid, 4x4.

        Raises:
            FileExistsError: If the scan already has another annotation.
            ValueError: If the array is not 3D uint8.
        """
        path = self.path(kind, scan_id)
        _require_volume(path, array)
        if kind == "annotation" and path.is_file():
            if self.holds(scan_id, array, affine):
                return
            raise FileExistsError(
                f"{path}: holds another annotation already; annotations are never overwritten. "
                "AnnotationStore.replace puts a corrected one in place and keeps the former."
            )
        write_nifti(path, array, affine)

    def replace(self, scan_id: str, array: np.ndarray, affine: np.ndarray) -> bool:
        """Puts a corrected annotation in place of a scan's former one, if it has any, which goes to the history.

        The scan has a whole annotation at any time: the former one, then the new one.

        Args:
            scan_id: Id of the scan.
            array: Annotation uint8 ``[H, W, D]`` in RAS orientation.
            affine: Affine of that grid, 4x4.

        Returns:
            False if the scan has this very annotation already, in which case nothing changes.

        Raises:
            ValueError: If the array is not 3D uint8.
        """
        path = self.path("annotation", scan_id)
        _require_volume(path, array)
        if path.is_file():
            if self.holds(scan_id, array, affine):
                return False
            self._remember(scan_id)
        write_nifti(path, array, affine)
        return True

    def _remember(self, scan_id: str) -> None:
        """Copies a scan's annotation to the history, unless an interrupted replacement has done so."""
        path = self.path("annotation", scan_id)
        names = (path.parent / "history" / f"{scan_id}.{number}.nii" for number in itertools.count(1))
        former = list(itertools.takewhile(Path.exists, names))
        if former and filecmp.cmp(former[-1], path, shallow=False):
            return
        with replacing(path.parent / "history" / f"{scan_id}.{len(former) + 1}.nii") as copy:
            shutil.copyfile(path, copy)

    def remove_pseudo_label(self, scan_id: str) -> None:
        """Removes a scan's pseudo-label, if it has one."""
        self.path("pseudo_label", scan_id).unlink(missing_ok=True)


def _require_volume(path: Path, array: np.ndarray) -> None:
    if array.dtype != np.uint8 or array.ndim != 3:
        raise ValueError(f"{path}: expected a 3D array of uint8, got shape {array.shape} of {array.dtype}.")
