"""Turns a user's own NIfTI files into a cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from common.cohort.cohort import Cohort, CohortError, write_datalist
from common.files import NIFTI_SUFFIXES, scan_name
from common.prepare.convert import Source, convert_all


def prepare_nifti(
    images: str | Path,
    target: str | Path,
    labels: str | Path | None = None,
    spacing: float | Sequence[float] | None = None,
    validation: int = 0,
    test: int = 0,
    *,
    classes: Mapping[int, str] | Sequence[str] | str = "foreground",
    name: str | None = None,
    progress: bool = True,
) -> Cohort:
    """Turns a folder of NIfTI images, and a folder of labels with the same file names, into a cohort.

    A second call changes nothing, and resumes one that was interrupted.

    Args:
        images: Folder with a .nii or .nii.gz file for each scan.
        target: Folder of the new cohort.
        labels: Folder with the label of each scan that has one, under the image's file name.
        spacing: Distance between voxels to resample to, in millimetres; by default the scans' own.
        validation: Number of labelled scans for validation, the last ones by name.
        test: Number of scans for testing: the labelled ones before the validation scans, then any others.
        classes: Name of each class 1..K, or one name for one class.
        name: Name of the study; by default the target folder's.
        progress: Whether to show a progress bar.

    Raises:
        FileNotFoundError: If a folder does not exist or has no image in it.
        CohortError: If labels have no image, names occur twice, or files are not as expected; it names all of them.
        ValueError: If too few scans are left for training, or the target holds other files.
    """
    image_files = _nifti_files(images)
    label_files = _nifti_files(labels) if labels is not None else {}
    orphans = [
        f"{path}: expected an image of this name in {images}, found none; rename the label or remove it."
        for key, path in label_files.items()
        if key not in image_files
    ]
    if orphans:
        raise CohortError(orphans)
    names = _class_names(classes)
    sources = [Source(key, path, label_files.get(key)) for key, path in image_files.items()]
    labelled = [source.id for source in sources if source.label]
    if not 0 <= validation <= len(labelled):
        raise ValueError(f"validation must be 0 to {len(labelled)}, the number of labelled scans, got {validation}.")
    if not 0 <= test < len(sources) - validation:
        raise ValueError(
            f"test must be 0 to {len(sources) - validation - 1}, so that one scan is left for training, got {test}."
        )
    splits = _splits(list(image_files), labelled, validation, test)
    settings = {"made by": "prepare nifti", "validation": validation, "test": test, "classes": names, "name": name}
    items = convert_all(sources, target, settings, spacing=spacing, progress=progress)
    by_id = dict(zip(image_files, items, strict=True))
    write_datalist(
        target,
        name=name or Path(target).name,
        labels=names,
        splits={split: [by_id[key] for key in keys] for split, keys in splits.items()},
    )
    return Cohort.open(target)


def _splits(ids: Sequence[str], labelled: Sequence[str], validation: int, test: int) -> dict[str, list[str]]:
    """The ids of each split."""
    last = list(labelled[len(labelled) - validation :])
    rest = [key for key in ids if key not in last]
    held_out = [key for key in rest if key in labelled][-test:] if test else []
    held_out += [key for key in reversed(rest) if key not in labelled][: test - len(held_out)]
    return {
        "training": [key for key in rest if key not in held_out],
        "validation": last,
        "test": sorted(held_out),
    }


def _nifti_files(folder: str | Path) -> dict[str, Path]:
    """The NIfTI files of a folder by id, sorted."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder.")
    paths = sorted(path for path in folder.iterdir() if path.name.endswith(NIFTI_SUFFIXES) and path.name[0] != ".")
    if not paths:
        raise FileNotFoundError(f"{folder}: expected NIfTI files (.nii, .nii.gz), found none.")
    files: dict[str, Path] = {}
    twice = []
    for path in paths:
        if scan_name(path) in files:
            twice.append(f"{path}: expected a name of its own, found {files[scan_name(path)].name} too; remove one.")
        files[scan_name(path)] = path
    if twice:
        raise CohortError(twice)
    return files


def _class_names(classes: Mapping[int, str] | Sequence[str] | str) -> dict[int, str]:
    if isinstance(classes, str):
        return {1: classes}
    if isinstance(classes, Mapping):
        return {int(value): str(text) for value, text in classes.items()}
    return {value: str(text) for value, text in enumerate(classes, start=1)}
