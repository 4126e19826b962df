"""The annotations and pseudo-labels that training reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.cohort.volumes import open_nifti, read_voxels, same_grid
from common.files import write_nifti

KINDS = ("annotation", "pseudo_label")


class AnnotationStore:
    """Annotations on disk, one a scan and kind, all in RAS orientation and uncompressed.

    Reads are memory maps: they cost only the pages that are touched, and worker processes share them. A file that is
    replaced stays intact for whoever still reads it.

    Args:
        folder: where the files go, as ``KIND/SCAN.nii``.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, kind: str, scan_id: str) -> Path:
        """Where the file is or would be.

        Raises:
            ValueError: if the kind is unknown.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}.")
        return self.folder / kind / f"{scan_id}.nii"

    def has(self, kind: str, scan_id: str) -> bool:
        """Whether there is one."""
        return self.path(kind, scan_id).is_file()

    def read(self, kind: str, scan_id: str) -> np.ndarray | None:
        """The annotation, a read-only memory map, uint8 ``[H, W, D]``; None if there is none.

        Raises:
            ValueError: if the file is damaged.
        """
        path = self.path(kind, scan_id)
        if not path.is_file():
            return None
        annotation = read_voxels(path)[0]
        annotation.flags.writeable = False
        return annotation

    def write(self, kind: str, scan_id: str, array: np.ndarray, affine: np.ndarray) -> None:
        """Stores an annotation atomically. A pseudo-label replaces the former one; an annotation stays for ever.

        Args:
            kind: "annotation" or "pseudo_label".
            scan_id: of the scan.
            array: uint8 ``[H, W, D]`` in RAS orientation.
            affine: of that grid, 4x4.

        Raises:
            FileExistsError: if the scan has another annotation already.
            ValueError: if the array is not 3D uint8.
        """
        path = self.path(kind, scan_id)
        if array.dtype != np.uint8 or array.ndim != 3:
            raise ValueError(f"{path}: expected a 3D array of uint8, got shape {array.shape} of {array.dtype}.")
        if kind == "annotation" and path.is_file():
            former = open_nifti(path)
            same = same_grid(array.shape, affine, former.shape, former.affine)
            if same and np.array_equal(read_voxels(path)[0], array):
                return
            raise FileExistsError(f"{path}: an annotation is never overwritten, and this one differs from the new one.")
        write_nifti(path, array, affine)
