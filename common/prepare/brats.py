"""Turns BraTS folders into a cohort for whole-tumour segmentation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.checks import check_one_of
from common.cohort.cohort import Cohort, CohortError, write_datalist
from common.files import NIFTI_SUFFIXES
from common.prepare.brain import BrainPreprocessing
from common.prepare.convert import Source, convert_all
from common.prepare.splits import Splits, split_at_random, split_by_lists, split_by_name

logger = logging.getLogger(__name__)

MODALITIES = ("flair", "t1", "t1ce", "t2")


@dataclass(frozen=True)
class Naming:
    """How the files in a patient's folder are named in some years.

    Args:
        image: Name of an image without .nii or .nii.gz, where ``{patient}`` is the folder's name and ``{modality}`` the
            year's word for a modality.
        label: Name of the label in the same way.
        words: The year's words for ``MODALITIES``, in that order.
    """

    image: str
    label: str
    words: tuple[str, str, str, str]

    def files(self, folder: Path, modality: str) -> tuple[Path, Path]:
        """Paths of a patient's image and label; without a file, the path that the compressed file would have."""
        word = self.words[MODALITIES.index(modality)]
        image, label = (name.format(patient=folder.name, modality=word) for name in (self.image, self.label))
        return _existing(folder / image), _existing(folder / label)


NAMINGS = (
    # 2013 and 2015, skull-stripped and z-scored
    Naming("{modality}_subtrMeanDivStd", "OTMultiClass", ("Flair", "T1", "T1c", "T2")),
    # 2017 to 2021
    Naming("{patient}_{modality}", "{patient}_seg", ("flair", "t1", "t1ce", "t2")),
    # 2023
    Naming("{patient}-{modality}", "{patient}-seg", ("t2f", "t1n", "t1c", "t2w")),
)


def prepare_brats(
    source: str | Path,
    target: str | Path,
    spacing: float | Sequence[float] | None = None,
    validation: int | None = None,
    *,
    modality: str = "flair",
    crop: bool = False,
    clip: Sequence[float] | None = None,
    split: Sequence[int] | None = None,
    lists: Sequence[str | Path] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Cohort:
    """Turns the folders of BraTS 2013 to 2023 into a cohort with the whole tumour (every label above 0) as class 1.

    Patients' folders may lie in others, such as ``HGG`` and ``LGG``; `NAMINGS` has the names of the files. Patients are
    sorted by name. A second call changes nothing, and resumes one that was interrupted.

    Args:
        source: Folder with a folder for each patient, up to three levels down.
        target: Folder of the new cohort.
        spacing: Distance between voxels to resample to, in millimetres; by default the scans' own.
        validation: Number of patients for validation, the last ones by name; by default 1, without a split or lists.
        modality: One of ``MODALITIES``, in any case.
        crop: Whether to crop scans to the brain's bounding box, see `BrainPreprocessing`.
        clip: Percentiles of the intensities in the brain at which these are clipped; by default they are not.
        split: Numbers of patients for training, validation and testing, who are drawn at random. FM-ABS (MICCAI 2024)
            divides the 335 scans of BraTS 2019 into 250, 25 and 60.
        lists: Files for training, validation and, if there is one, testing that name the patients, one per line.
        seed: Seed of the random draw.
        progress: Whether to show a progress bar.

    Raises:
        FileNotFoundError: If there is no patient, or a list does not exist.
        CohortError: If files are missing, truncated or not as expected; problems that headers show are raised before
            anything is written.
        ValueError: If patients are divided in more than one way, or in one that does not work out; if the percentiles
            or the modality make no sense; or if the target holds other files.
    """
    check_one_of("modality", modality := modality.lower(), MODALITIES)
    preprocessing = BrainPreprocessing(crop, clip)
    patients = {patient.id: patient for patient in _patients(Path(source), modality)}
    splits = _divided(list(patients), validation, split, lists, seed)
    chosen = [patients[name] for names in splits.values() for name in names]
    if left_out := len(patients) - len(chosen):
        logger.warning("%s: %d of %d patients are in no list and are left out.", source, left_out, len(patients))
    settings = {
        "made by": "prepare brats",
        "modality": modality,
        "crop": crop,
        "clip": None if clip is None else list(clip),
        "splits": splits,
    }
    converted = convert_all(
        chosen, target, settings, spacing=spacing, merge_classes=True, preprocessing=preprocessing, progress=progress
    )
    items = dict(zip((patient.id for patient in chosen), converted, strict=True))
    write_datalist(
        target,
        name=f"brain tumour ({modality})",
        labels={1: "whole tumour"},
        splits={part: [items[name] for name in names] for part, names in splits.items()},
    )
    return Cohort.open(target)


def _patients(source: Path, modality: str) -> list[Source]:
    """The files of every patient who has an image or a label, sorted by name; one of the two may be missing."""
    patients: dict[str, Source] = {}
    problems = []
    for folder in (path for depth in ("*", "*/*", "*/*/*") for path in source.glob(depth) if path.is_dir()):
        found = [naming.files(folder, modality) for naming in NAMINGS]
        found = [files for files in found if any(path.is_file() for path in files)]
        if not found:
            continue
        image, label = found[0]
        if folder.name in patients:
            problems.append(
                f"{folder}: expected every patient once, found {patients[folder.name].image.parent} too; remove one."
            )
        patients[folder.name] = Source(folder.name, image, label)
    if problems:
        raise CohortError(problems)
    if not patients:
        names = "; ".join(
            f"{naming.image.format(patient='PATIENT', modality=naming.words[MODALITIES.index(modality)])} with "
            f"{naming.label.format(patient='PATIENT')}"
            for naming in NAMINGS
        )
        raise FileNotFoundError(
            f"{source}: expected a folder per patient, named PATIENT, with files of BraTS (.nii.gz or .nii), found "
            f"none of: {names}."
        )
    return [patients[name] for name in sorted(patients)]


def _divided(
    patients: Sequence[str],
    validation: int | None,
    split: Sequence[int] | None,
    lists: Sequence[str | Path] | None,
    seed: int,
) -> Splits:
    """The names of each split, by the one way that is given."""
    given = {"validation": validation, "split": split, "lists": lists}
    ways = [name for name, value in given.items() if value is not None]
    if len(ways) > 1:
        raise ValueError(f"patients must be divided in one way, got {' and '.join(ways)}; give one of them.")
    if split is not None:
        return split_at_random(patients, split, seed)
    if lists is not None:
        return split_by_lists(patients, lists)
    return split_by_name(patients, 1 if validation is None else validation)


def _existing(path: Path) -> Path:
    """The file of that name with the ending that it has."""
    files = [path.with_name(path.name + suffix) for suffix in NIFTI_SUFFIXES]
    return next((file for file in files if file.is_file()), files[0])
