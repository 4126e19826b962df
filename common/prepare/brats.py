"""Turns BraTS folders into a cohort for whole-tumour segmentation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.checks import check_one_of
from common.cohort.cohort import Cohort
from common.files import NIFTI_SUFFIXES
from common.prepare.brain import BrainPreprocessing
from common.prepare.classes import Classes
from common.prepare.convert import Conversion, Source, make_cohort
from common.prepare.splits import divide

logger = logging.getLogger(__name__)

MODALITIES = ("flair", "t1", "t1ce", "t2")


@dataclass(frozen=True)
class Naming:
    """How the files in a patient's folder are named in some years.

    Args:
        image: Name of an image without .nii or .nii.gz, where ``{patient}`` is the folder's name and ``{modality}`` the
            year's word for a modality; or a pattern of a path with its ending, where ``*`` stands for anything.
        label: Name of the label in the same way.
        words: The year's words for ``MODALITIES``, in that order.
    """

    image: str
    label: str
    words: tuple[str, str, str, str]

    def files(self, folder: Path, modalities: Sequence[str]) -> list[Path]:
        """Paths of a patient's images and label; without a file, the path that the compressed file would have."""
        words = [self.words[MODALITIES.index(modality)] for modality in modalities]
        names = [self.image.format(patient=folder.name, modality=word) for word in words]
        return [_existing(folder, name) for name in (*names, self.label.format(patient=folder.name))]


NAMINGS = (
    # 2012 to 2015 as published, before anything was done to the scans
    Naming("VSD.Brain*/VSD.Brain*.MR_{modality}.*.mha", "VSD.Brain*/VSD.Brain*.OT.*.mha", ("Flair", "T1", "T1c", "T2")),
    # 2013 and 2015, z-scored
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
    modality: str | Sequence[str] = "flair",
    crop: bool = False,
    clip: Sequence[float] | None = None,
    split: Sequence[int] | None = None,
    lists: Sequence[str | Path] | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    progress: bool = True,
) -> Cohort:
    """Turns the folders of BraTS 2012 to 2023 into a cohort with the whole tumour (every label above 0) as class 1.

    Patients' folders may lie in others, such as ``HGG`` and ``LGG``; `NAMINGS` has the names of the files. Patients are
    sorted by name. A second call changes nothing, and resumes one that was interrupted.

    Args:
        source: Folder with a folder for each patient, up to three levels down.
        target: Folder of the new cohort.
        spacing: Distance between voxels to resample to, in millimetres, or three (RAS); by default the scans' own.
        validation: Number of patients for validation, the last ones by name; by default 1, without a split or lists.
        modality: One of ``MODALITIES``, in any case; or several, which become the channels of the images.
        crop: Whether to crop scans to the brain's bounding box, see `BrainPreprocessing`.
        clip: Percentiles of the intensities in the brain at which these are clipped; by default they are not.
        split: Numbers of patients for training, validation and testing, who are drawn at random. FM-ABS (MICCAI 2024)
            divides the 335 scans of BraTS 2019 into 250, 25 and 60.
        lists: Files for training, validation and, if there is one, testing that name the patients, one per line.
        seed: Seed of the random draw.
        skip_bad: Whether to leave out patients with problems, with a warning, rather than to write nothing.
        progress: Whether to show progress bars.

    Raises:
        FileNotFoundError: If there is no patient, or a list does not exist.
        CohortError: If files are missing, truncated or not as expected; it names everything, patient by patient, and
            nothing has been written.
        ValueError: If patients are divided in more than one way, or in one that does not work out; if the percentiles
            or the modality make no sense; or if the target holds other files.
    """
    modalities = [word.lower() for word in ([modality] if isinstance(modality, str) else modality)]
    for word in modalities:
        check_one_of("modality", word, MODALITIES)
    if len(set(modalities)) < len(modalities):
        raise ValueError(f"modality must name each of several once, got {', '.join(modalities)}.")
    preprocessing = BrainPreprocessing(crop, clip)
    patients, problems = _patients(Path(source), modalities)
    if validation is None and split is None and lists is None:
        validation = 1
    splits = divide([patient.id for patient in patients], validation=validation, split=split, lists=lists, seed=seed)
    if left_out := len(patients) - sum(map(len, splits.values())):
        logger.warning("%s: %d of %d patients are in no list and are left out.", source, left_out, len(patients))
    return make_cohort(
        patients,
        splits,
        target,
        Conversion(Classes({1: "whole tumour"}, None), spacing, preprocessing),
        {
            "made by": "prepare brats",
            "modality": ",".join(modalities),
            "crop": crop,
            "clip": None if clip is None else list(clip),
        },
        name=f"brain tumour ({', '.join(modalities)})",
        channels=modalities,
        problems=problems,
        skip_bad=skip_bad,
        progress=progress,
    )


def _patients(source: Path, modalities: Sequence[str]) -> tuple[list[Source], dict[str, list[str]]]:
    """The files of every patient who has an image or a label, sorted by name, some of which may be missing.

    The second part is what is wrong with patients, by name.
    """
    patients: dict[str, Source] = {}
    problems: dict[str, list[str]] = {}
    folders: dict[str, Path] = {}
    for folder in (path for depth in ("*", "*/*", "*/*/*") for path in source.glob(depth) if path.is_dir()):
        found = [naming.files(folder, modalities) for naming in NAMINGS]
        found = [files for files in found if any(path.is_file() for path in files)]
        if not found:
            continue
        *images, label = found[0]
        if folder.name in patients:
            problems[folder.name] = [
                f"{folder}: expected every patient once, found {folders[folder.name]} too; remove one."
            ]
        patients[folder.name] = Source(folder.name, tuple(images), label)
        folders[folder.name] = folder
    if not patients:
        names = "; ".join(
            f"{naming.image.format(patient='PATIENT', modality=naming.words[MODALITIES.index(modalities[0])])} with "
            f"{naming.label.format(patient='PATIENT')}"
            for naming in NAMINGS
        )
        raise FileNotFoundError(
            f"{source}: expected a folder per patient, named PATIENT, with files of BraTS (.nii.gz, .nii, .mha), found "
            f"none of: {names}."
        )
    return [patients[name] for name in sorted(patients)], problems


def _existing(folder: Path, name: str) -> Path:
    """The file of that name with the ending that it has, or the first one that fits a pattern."""
    path = folder / name
    if "*" in name:
        return min(folder.glob(name), default=path)
    files = [path.with_name(path.name + suffix) for suffix in NIFTI_SUFFIXES]
    return next((file for file in files if file.is_file()), files[0])
