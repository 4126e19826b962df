"""Turns the left-atrium benchmark's h5 files into a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.cohort.cohort import Cohort, CohortError, write_datalist
from common.files import claim
from common.prepare.convert import write_scan
from common.prepare.h5_files import h5py

SPACING = 0.625
"""Spacing of the benchmark's scans in mm (Xiong et al., Medical Image Analysis 67, 2021), which h5 files lack."""

H5_FILE = "mri_norm2.h5"


def prepare_la(
    source: str | Path,
    target: str | Path,
    spacing: float | Sequence[float] | None = None,
    validation: int = 16,
    *,
    progress: bool = True,
) -> Cohort:
    """Turns ``source/CASE/mri_norm2.h5`` of the cases in ``source/train.list`` into a cohort of NIfTI files.

    The order of the list is kept. If there is a ``test.list`` too, its cases make the test split. A second call changes
    nothing, and resumes one that was interrupted.

    Args:
        source: The benchmark's folder.
        target: Folder of the new cohort.
        spacing: Distance between voxels to resample to, in millimetres, or three (RAS); 0.625 by default.
        validation: Number of cases for validation, the last ones of the list. With 0 the division is the benchmark's
            official one: its 80 cases for training and its 20 for testing, so that training keeps its last weights.
        progress: Whether to show a progress bar.

    Raises:
        FileNotFoundError: If there is no ``train.list``.
        CohortError: If h5 files are missing, truncated or not as expected; before anything is written, it names all.
        ValueError: If ``validation`` leaves no scan for training, or the target holds other files.
        ImportError: If h5py is not installed.
    """
    source = Path(source)
    cases = _read_list(source / "train.list")
    test = _read_list(source / "test.list") if (source / "test.list").is_file() else []
    if not 0 <= validation < len(cases):
        raise ValueError(f"validation must be 0 to {len(cases) - 1} of the {len(cases)} cases, got {validation}.")
    problems = [problem for case in cases + test if (problem := _problem(source / case / H5_FILE))]
    if problems:
        raise CohortError(problems)
    settings = {"made by": "prepare la", "source": str(source.resolve()), "spacing": spacing, "validation": validation}
    folder = claim(target, {**settings, "cases": cases, "test cases": test})
    items = {case: {"image": f"images/{case}.nii.gz", "label": f"labels/{case}.nii.gz"} for case in cases + test}
    for case in tqdm(items, desc="prepare la", unit="scan", disable=not progress):
        if not all((folder / path).is_file() for path in items[case].values()):
            write_scan(folder, items[case], *_read(source / case / H5_FILE), np.diag([SPACING] * 3 + [1.0]), spacing)
    training = cases[: len(cases) - validation]
    parts = {"training": training, "validation": cases[len(training) :], "test": test}
    write_datalist(
        folder,
        name="left atrium",
        labels={1: "left atrium"},
        splits={split: [items[case] for case in part] for split, part in parts.items()},
    )
    return Cohort.open(folder)


def _read_list(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected the benchmark's list of cases, one per line.")
    cases = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if len(set(cases)) < len(cases):
        raise ValueError(f"{path}: expected every case once, found {len(cases) - len(set(cases))} repeated.")
    return cases


def _problem(path: Path) -> str | None:
    """What is wrong with an h5 file, as far as that shows without reading the voxels."""
    library = h5py()
    if not path.is_file():
        return f"{path}: no such file, though its case is listed."
    try:
        with library.File(path) as file:
            shapes = {name: getattr(file.get(name), "shape", None) for name in ("image", "label")}
    except OSError as error:
        return f"{path}: expected a complete h5 file, found a truncated or damaged one ({error}); copy it again."
    if shapes["image"] is None or shapes["image"] != shapes["label"] or len(shapes["image"]) != 3:
        return f"{path}: expected 3D `image` and `label` of one shape, found {shapes['image']} and {shapes['label']}."
    return None


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads an image as float32 and its label as uint8."""
    try:
        with h5py().File(path) as file:
            image, label = file["image"][:].astype(np.float32), file["label"][:]
    except OSError as error:
        raise CohortError(
            [f"{path}: expected a complete h5 file, found a truncated or damaged one ({error}); copy it again."]
        ) from error
    wrong = []
    if not np.isfinite(image).all():
        wrong.append(
            f"{path}: expected finite intensities, found {np.count_nonzero(~np.isfinite(image))} NaN or infinite ones."
        )
    if not np.isin(label, (0, 1)).all():
        wrong.append(f"{path}: expected labels 0 and 1, found {np.unique(label)[:5].tolist()}.")
    if wrong:
        raise CohortError(wrong)
    return image, label.astype(np.uint8)
