"""The command line: ``python -m common COMMAND``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import fire

from common.cohort import Cohort, CohortError, prepare_brats, prepare_la, prepare_nifti, write_phantom


class Prepare:
    """Turns other data into a cohort: NIfTI files and a datalist.json."""

    def la(self, source: str, target: str, spacing: float | None = None, validation: int = 16) -> None:
        """The left-atrium benchmark's h5 files.

        Args:
            source: folder with train.list and CASE/mri_norm2.h5.
            target: folder of the cohort.
            spacing: to resample to, in millimetres (1.25 halves the resolution); by default the scans' own 0.625.
            validation: how many of the list's last cases are for validation.
        """
        _say(prepare_la(source, target, spacing, validation))

    def brats(
        self, source: str, target: str, spacing: float | None = None, validation: int = 1, modality: str = "Flair"
    ) -> None:
        """BraTS folders, with the whole tumour as the one class.

        Args:
            source: folder with PATIENT/Flair_subtrMeanDivStd.nii.gz and PATIENT/OTMultiClass.nii.gz.
            target: folder of the cohort.
            spacing: to resample to, in millimetres; by default the scans' own.
            validation: how many of the last patients by name are for validation.
            modality: first part of the image's file name.
        """
        _say(prepare_brats(source, target, spacing, validation, modality=modality))

    def nifti(
        self,
        images: str,
        target: str,
        labels: str | None = None,
        spacing: float | None = None,
        validation: int = 0,
        test: int = 0,
        classes: str | Sequence[str] = "foreground",
        name: str | None = None,
    ) -> None:
        """Your own NIfTI files.

        Args:
            images: folder with one .nii or .nii.gz a scan.
            target: folder of the cohort.
            labels: folder with labels under the images' file names; scans without one stay unlabelled.
            spacing: to resample to, in millimetres; by default the scans' own.
            validation: how many of the labelled scans are for validation.
            test: how many scans are for testing.
            classes: names of the classes 1, 2, …, separated by commas.
            name: of the study.
        """
        _say(prepare_nifti(images, target, labels, spacing, validation, test, classes=classes, name=name))


def phantom(
    output_dir: str,
    scans: int = 12,
    size: int | Sequence[int] = 64,
    seed: int = 0,
    validation: int | None = None,
    test: int | None = None,
) -> None:
    """Writes a cohort of made-up scans: something like a heart in MRI, with the left atrium as the class.

    Args:
        output_dir: folder of the cohort.
        scans: how many, all splits together.
        size: voxels along each axis.
        seed: of the cohort; the same one gives the same scans.
        validation: how many are for validation; by default a sixth.
        test: how many are for testing; by default a sixth.
    """
    _say(write_phantom(output_dir, scans, size, seed, validation=validation, test=test, progress=True))


def _say(cohort: Cohort) -> None:
    counts = f"{len(cohort.training)} training, {len(cohort.validation)} validation, {len(cohort.test)} test scans"
    print(f"{cohort.folder}: {cohort.name}, {counts}.")


COMMANDS = {"phantom": phantom, "prepare": Prepare}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; what is wrong with the user's input becomes a message, not a traceback."""
    try:
        fire.Fire(COMMANDS, command=None if arguments is None else list(arguments), name="python -m common")
    except (CohortError, ValueError, FileNotFoundError, ImportError) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
