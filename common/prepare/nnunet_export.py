"""Writes cohorts as raw data sets of nnU-Net 2."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from tqdm import tqdm

from common import IGNORE_INDEX
from common.annotations.inspection import of_run
from common.cohort.cohort import DATALIST, Cohort, CohortError, Scan
from common.cohort.volumes import integer_labels, open_nifti, read_voxels
from common.files import claim, read_json, replacing, write_json, write_nifti
from common.prepare.classes import IGNORE
from common.prepare.nnunet import DATASET, FOLDS, UNLABELLED

ENDING = ".nii.gz"


logger = logging.getLogger(__name__)


def export_nnunet(cohort: Cohort, target: str | Path, *, run: str | Path | None = None, progress: bool = True) -> Path:
    """Writes a cohort as a folder ``DatasetXXX_NAME`` for ``nnUNet_raw``; :func:`prepare_nnunet` is the way back.

    Labelled scans for training and validation go to ``imagesTr`` and ``labelsTr``, test scans to ``imagesTs`` and
    ``labelsTs``, and training scans without a label to ``imagesUnlabelled``, which nnU-Net does not look at.
    ``splits_final.json`` has the division into training and validation; nnU-Net reads it from the folder of the
    preprocessed data set. Label 255 becomes nnU-Net's ignore label, and so does the background of scans of which some
    classes only were annotated, since nnU-Net would take it for no other class. A second call resumes one that was
    interrupted.

    Args:
        cohort: The cohort.
        target: Folder to write.
        run: Folder of a run on this cohort, whose annotations become the labels of the training scans.
        progress: Whether to show a progress bar.

    Returns:
        The folder.

    Raises:
        CohortError: If files are missing, damaged or of different numbers of channels, labels hold unknown values, or a
            validation scan has no label; it names everything, and nothing has been written.
        ValueError: If the target holds other files, or the run has no annotation of this cohort.
    """
    if run is not None:
        cohort = of_run(cohort, run)
    channels, ignores = _checked(cohort, progress)
    files = [[scan.id, *(path.stat().st_size for path in (scan.image, scan.label) if path)] for scan in cohort.scans]
    folder = claim(target, {"made by": "export nnunet", "cohort": str(cohort.folder.resolve()), "scans": files})
    labels = {"background": 0} | {name: value for value, name in cohort.labels.items()}
    if ignores:
        labels[IGNORE] = cohort.num_classes
    for scan in tqdm(cohort.scans, desc="export nnunet", unit="scan", disable=not progress):
        held_out = scan in cohort.test
        images = "imagesTs" if held_out else "imagesTr" if scan.label else UNLABELLED
        _write_image(scan, folder / images, len(channels))
        if scan.label:
            _write_label(scan, folder / ("labelsTs" if held_out else "labelsTr") / f"{scan.id}{ENDING}", labels)
    training = [scan.id for scan in cohort.training if scan.label]
    if cohort.validation:
        write_json(folder / FOLDS, [{"train": training, "val": [scan.id for scan in cohort.validation]}])
    content = {
        "name": cohort.name,
        "channel_names": {str(place): name for place, name in enumerate(channels)},
        "labels": labels,
        "numTraining": len(training) + len(cohort.validation),
        "file_ending": ENDING,
    }
    write_json(folder / DATASET, content)
    return folder


def _checked(cohort: Cohort, progress: bool) -> tuple[list[str], bool]:
    """The names of the channels, and whether something is not annotated in a label.

    Raises:
        CohortError: If anything is wrong with the files.
    """
    problems: list[str] = []
    numbers: dict[int, Path] = {}
    ignores = False
    for scan in tqdm(cohort.scans, desc="check", unit="scan", disable=not progress):
        try:
            numbers.setdefault(_number_of_channels(scan.image), scan.image)
            if scan.label:
                values = np.unique(integer_labels(read_voxels(scan.label)[0], scan.label)).tolist()
                ignores |= IGNORE_INDEX in values
                if unknown := [value for value in values if value not in (0, *cohort.labels, IGNORE_INDEX)]:
                    problems.append(f"{scan.label}: expected values of the cohort's classes, found {unknown[:5]}.")
            elif scan in cohort.validation:
                problems.append(f"{scan.image}: expected a label, which nnU-Net needs for validation, found none.")
        except (OSError, ValueError) as error:
            problems.append(str(error))
    if len(numbers) > 1:
        found = ", ".join(f"{number} in {path}" for number, path in numbers.items())
        problems.append(f"{cohort.folder}: expected images with one number of channels, found {found}.")
    if problems:
        raise CohortError(problems)
    if partial := [scan.id for scan in cohort.scans if scan.annotated_classes is not None]:
        ignores = True
        logger.warning("THE BACKGROUND IS LEFT OUT of %s: some classes only were annotated there.", ", ".join(partial))
    known: dict[str, Any] = read_json(cohort.folder / DATALIST).get("modality", {})
    number = next(iter(numbers))
    return [str(known.get(str(place), f"channel {place}")) for place in range(number)], ignores


def _number_of_channels(path: Path) -> int:
    shape = open_nifti(path).shape
    return shape[3] if len(shape) == 4 else 1


def _write_image(scan: Scan, folder: Path, channels: int) -> None:
    places = [folder / f"{scan.id}_{channel:04d}{ENDING}" for channel in range(channels)]
    if all(place.is_file() for place in places):
        return
    if channels == 1:
        _copy(scan.image, places[0])
        return
    voxels, image = read_voxels(scan.image, channels)
    for channel, place in enumerate(places):
        write_nifti(place, voxels[..., channel], image.affine)


def _write_label(scan: Scan, place: Path, labels: dict[str, int]) -> None:
    if place.is_file() or scan.label is None:
        return
    voxels, file = read_voxels(scan.label)
    label = integer_labels(voxels, scan.label)
    image = open_nifti(scan.image)
    turn = ornt_transform(io_orientation(file.affine), io_orientation(image.affine))
    turned = not np.array_equal(turn, [[0, 1], [1, 1], [2, 1]])
    left_out = (label == IGNORE_INDEX) | ((label == 0) & (scan.annotated_classes is not None))
    if not turned and not left_out.any():
        _copy(scan.label, place)
        return
    written = np.where(left_out, labels.get(IGNORE, 0), label).astype(np.uint8)
    write_nifti(place, apply_orientation(written, turn), file.affine @ inv_ornt_aff(turn, label.shape))


def _copy(path: Path, place: Path) -> None:
    """Copies a file whole, or compresses one that is not."""
    if path.name.endswith(ENDING):
        with replacing(place) as temporary:
            shutil.copyfile(path, temporary)
    else:
        voxels, image = read_voxels(path)
        write_nifti(place, voxels, image.affine)
