"""Turns BraTS folders into a cohort for whole-tumour segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.cohort.cohort import Cohort, write_datalist
from common.prepare.convert import Source, convert_all


def prepare_brats(
    source: str | Path,
    target: str | Path,
    spacing: float | Sequence[float] | None = None,
    validation: int = 1,
    *,
    modality: str = "Flair",
    progress: bool = True,
) -> Cohort:
    """Turns ``source/PATIENT/{Flair_subtrMeanDivStd,OTMultiClass}.nii.gz`` into a cohort with the whole tumour as 1.

    Patients are sorted by name. A second call changes nothing, and resumes one that was interrupted.

    Args:
        source: Folder with a folder for each patient (skull-stripped, z-scored BraTS 2013/2015).
        target: Folder of the new cohort.
        spacing: Distance between voxels to resample to, in millimetres; by default the scans' own.
        validation: Number of patients for validation, the last ones.
        modality: Modality whose ``…_subtrMeanDivStd.nii.gz`` is the image, for instance "Flair".
        progress: Whether to show a progress bar.

    Raises:
        FileNotFoundError: If there is no patient.
        CohortError: If files are missing, truncated or not as expected; problems that headers show are raised before
            anything is written.
        ValueError: If ``validation`` leaves no scan for training, or the target holds other files.
    """
    source = Path(source)
    patients = sorted(path.parent for path in source.glob("*/OTMultiClass.nii.gz"))
    if not patients:
        raise FileNotFoundError(f"{source}: expected patients' folders with OTMultiClass.nii.gz, found none.")
    if not 0 <= validation < len(patients):
        raise ValueError(
            f"validation must be 0 to {len(patients) - 1} of the {len(patients)} patients, got {validation}."
        )
    sources = [
        Source(folder.name, folder / f"{modality}_subtrMeanDivStd.nii.gz", folder / "OTMultiClass.nii.gz")
        for folder in patients
    ]
    settings = {"made by": "prepare brats", "modality": modality, "validation": validation}
    items = convert_all(sources, target, settings, spacing=spacing, merge_classes=True, progress=progress)
    training = len(items) - validation
    write_datalist(
        target,
        name=f"brain tumour ({modality})",
        labels={1: "whole tumour"},
        splits={"training": items[:training], "validation": items[training:]},
    )
    return Cohort.open(target)
