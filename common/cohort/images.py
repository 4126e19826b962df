"""Images to segment, from a cohort or a plain folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from nibabel.orientations import io_orientation

from common.cohort.check import image_problems, name_problems
from common.cohort.cohort import DATALIST, Cohort, CohortError, Scan
from common.cohort.volumes import open_nifti, spacing
from common.files import scan_name


def check_images(folder: str | Path, *, channels: int = 1) -> None:
    """Checks images before anything is predicted for them.

    Args:
        folder: Folder of the images, see :func:`images`.
        channels: Number of channels of the images; several lie along a fourth axis.

    Raises:
        CohortError: If anything is wrong with the files; names all problems.
        FileNotFoundError, ValueError: As raised by :func:`images`.
    """
    found = []
    for item in images(folder):
        path = Path(item["image"])
        found += name_problems(item["scan"], path) + image_problems(path, channels=channels)
    if found:
        raise CohortError(found)


def images(folder: str | Path) -> list[dict[str, str]]:
    """Items ``{"scan": id, "image": path}`` of a cohort's test scans (of all, if it has none) or of all NIfTI files.

    Hidden files, whose names begin with a dot, are left out.

    Raises:
        FileNotFoundError: If the folder does not exist or holds no NIfTI file.
        ValueError: If two files differ by their ending alone.
    """
    folder = Path(folder)
    if (folder / DATALIST).is_file():
        cohort = Cohort.open(folder)
        return [{"scan": scan.id, "image": str(scan.image)} for scan in cohort.test or cohort.scans]
    files = sorted(path for path in folder.glob("[!.]*") if path.name.endswith((".nii", ".nii.gz")))
    if not files:
        raise FileNotFoundError(f"{folder}: expected a cohort's folder or NIfTI files (.nii, .nii.gz), found none.")
    names = [scan_name(path) for path in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{folder}: expected one file per scan, found two of {', '.join(twice)} (.nii and .nii.gz).")
    return [{"scan": name, "image": str(path)} for name, path in zip(names, files, strict=True)]


def usual_spacing(scans: Iterable[Scan]) -> list[float]:
    """The median spacing of scans along the axes of RAS, in millimetres, from the headers of their images.

    Raises:
        FileNotFoundError, ValueError: If an image cannot be opened, or there is no scan.
    """
    affines = [open_nifti(scan.image).affine for scan in scans]
    if not affines:
        raise ValueError("scans: expected at least one, found none.")
    spacings = [spacing(affine)[np.argsort(io_orientation(affine)[:, 0])] for affine in affines]
    return np.median(spacings, axis=0).round(4).tolist()
