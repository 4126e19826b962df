"""Commands that turn other data into cohorts, and cohorts back: ``python -m common prepare`` and ``export``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts import App

from common.commands.options import (
    AnyPath,
    Count,
    Folder,
    Millimetres,
    Percentiles,
    Seed,
    Splits,
    Text,
    VoxelSize,
)

if TYPE_CHECKING:
    from common.cohort import Cohort

prepare = App(name="prepare", help="Turn other data into a cohort: NIfTI files and a datalist.json.")
export = App(name="export", help="Write a cohort in the form of another program.")


@prepare.command
def la(source: AnyPath, target: Folder, spacing: Millimetres | None = None, validation: Count = 16) -> None:
    """Convert the left-atrium benchmark's h5 files.

    Args:
        source: Folder with train.list and CASE/mri_norm2.h5.
        target: Folder of the cohort.
        spacing: Voxel size to resample to, in millimetres (1.25 halves the resolution); their own 0.625 by default.
        validation: Number of the list's last cases that are for validation; 0 for the official 80 and 20 (test.list).
    """
    from common.prepare import prepare_la

    say(prepare_la(source, target, spacing, validation))


@prepare.command
def brats(
    source: AnyPath,
    target: Folder,
    spacing: Millimetres | None = None,
    validation: Count | None = None,
    modality: Text = "flair",
    crop: bool = False,
    clip: Percentiles | None = None,
    split: Splits | None = None,
    lists: Text | None = None,
    seed: Seed = 0,
    skip_bad: bool = False,
) -> None:
    """Convert BraTS folders of 2012 to 2023, with the whole tumour as the one class.

    Args:
        source: Folder with a folder per patient, such as BraTS19_2013_0_1, directly or in folders such as HGG and LGG.
        target: Folder of the cohort.
        spacing: Voxel size to resample to, in millimetres, one or three as in 0.8,0.8,5; the scans' own by default.
        validation: Number of the last patients by name that are for validation; 1 by default.
        modality: flair, t1, t1ce or t2; or several, as in flair,t1, which become channels.
        crop: Whether to crop scans to the brain's bounding box.
        clip: Two percentiles of the intensities in the brain, as in 0,99.9, at which these are clipped.
        split: Numbers of patients for training, validation and testing, drawn at random, as in 250,25,60.
        lists: Files that name the patients for training, validation and testing, as in train.txt,val.txt,test.txt.
        seed: Seed of the random draw.
        skip_bad: Whether to leave out patients with problems instead of writing nothing.
    """
    from common.prepare import prepare_brats

    say(
        prepare_brats(
            source,
            target,
            spacing,
            validation,
            modality=modality.split(","),
            crop=crop,
            clip=clip,
            split=split,
            lists=_words(lists),
            seed=seed,
            skip_bad=skip_bad,
        )
    )


@prepare.command
def folder(
    images: AnyPath,
    target: Folder,
    labels: AnyPath | None = None,
    spacing: Millimetres | None = None,
    validation: Count | None = None,
    test: Count | None = None,
    channels: Text | None = None,
    label_ending: Text | None = None,
    split: Splits | None = None,
    lists: Text | None = None,
    seed: Seed = 0,
    classes: Text = "foreground",
    name: Text | None = None,
    skip_bad: bool = False,
) -> None:
    """Convert your own scans: NIfTI, NRRD or MHA/MHD files, or DICOM series.

    Args:
        images: Folder of the images, which may lie in folders within it.
        target: Folder of the cohort.
        labels: Folder with labels under the images' names; scans without one stay unlabelled.
        spacing: Voxel size to resample to, in millimetres, one or three as in 0.8,0.8,5; the scans' own by default.
        validation: Number of the labelled scans that are for validation.
        test: Number of scans that are for testing; it may be all of them.
        channels: Endings of the files of one scan, as in flair,t1 for SCAN_flair.nii.gz and SCAN_t1.nii.gz; by default
            every file or series is a scan.
        label_ending: Ending of the labels' names after the scan's, as in seg, wherever they are.
        split: Numbers of scans for training, validation and testing, drawn at random, as in 250,25,60.
        lists: Files that name the scans for training, validation and testing, as in train.txt,val.txt,test.txt.
        seed: Seed of the random draw.
        classes: Names of the classes 1, 2, …, separated by commas; or values and names, as in 2=liver,5+6=spleen.
        name: Name of the study; the target's by default.
        skip_bad: Whether to leave out scans with problems instead of writing nothing.
    """
    from common.prepare import prepare_folder
    from common.prepare.classes import Classes

    say(
        prepare_folder(
            images,
            target,
            labels,
            spacing,
            validation,
            test,
            channels=_words(channels) or (),
            label_ending=label_ending,
            split=split,
            lists=_words(lists),
            seed=seed,
            classes=Classes.parsed(classes),
            name=name,
            skip_bad=skip_bad,
        )
    )


@prepare.command
def h5(
    source: AnyPath,
    target: Folder,
    voxel: VoxelSize,
    spacing: Millimetres | None = None,
    validation: Count | None = None,
    test: Count | None = None,
    ending: Text | None = None,
    split: Splits | None = None,
    lists: Text | None = None,
    seed: Seed = 0,
    classes: Text = "foreground",
    name: Text | None = None,
    skip_bad: bool = False,
) -> None:
    """Convert h5 files with the arrays image and label, as other benchmarks of semi-supervised learning have them.

    Args:
        source: Folder of the files, which may lie in folders within it.
        target: Folder of the cohort.
        voxel: Distance between the voxels in the files, in millimetres along each axis, as in 1,1,1.
        spacing: Voxel size to resample to, in millimetres, one or three as in 0.8,0.8,5; that of the files by default.
        validation: Number of scans that are for validation.
        test: Number of scans that are for testing.
        ending: Ending of the files' names after the scan's, as in norm for image0001_norm.h5.
        split: Numbers of scans for training, validation and testing, drawn at random, as in 250,25,60.
        lists: Files that name the scans for training, validation and testing, as in train.txt,val.txt,test.txt.
        seed: Seed of the random draw.
        classes: Names of the classes 1, 2, …, separated by commas; or values and names, as in 2=liver,5+6=spleen.
        name: Name of the study; the target's by default.
        skip_bad: Whether to leave out scans with problems instead of writing nothing.
    """
    from common.prepare import prepare_h5
    from common.prepare.classes import Classes

    say(
        prepare_h5(
            source,
            target,
            voxel,
            spacing,
            validation,
            test,
            ending=ending,
            split=split,
            lists=_words(lists),
            seed=seed,
            classes=Classes.parsed(classes),
            name=name,
            skip_bad=skip_bad,
        )
    )


@prepare.command
def decathlon(
    source: AnyPath,
    target: Folder,
    spacing: Millimetres | None = None,
    validation: Count | None = None,
    test: Count | None = None,
    split: Splits | None = None,
    lists: Text | None = None,
    seed: Seed = 0,
    skip_bad: bool = False,
) -> None:
    """Convert a task of the Medical Segmentation Decathlon; its modalities become channels.

    Args:
        source: Folder with dataset.json.
        target: Folder of the cohort.
        spacing: Voxel size to resample to, in millimetres, one or three as in 0.8,0.8,5; the scans' own by default.
        validation: Number of the last training scans by name that are for validation.
        test: Number of the training scans before those that are for testing, besides the task's unlabelled test scans.
        split: Numbers of training scans for training, validation and testing, drawn at random, as in 30,5,5.
        lists: Files that name the scans for training, validation and testing, as in train.txt,val.txt,test.txt.
        seed: Seed of the random draw.
        skip_bad: Whether to leave out scans with problems instead of writing nothing.
    """
    from common.prepare import prepare_decathlon

    say(
        prepare_decathlon(
            source,
            target,
            spacing,
            validation,
            test,
            split=split,
            lists=_words(lists),
            seed=seed,
            skip_bad=skip_bad,
        )
    )


@prepare.command
def nnunet(
    source: AnyPath,
    target: Folder,
    spacing: Millimetres | None = None,
    validation: Count | None = None,
    test: Count | None = None,
    split: Splits | None = None,
    lists: Text | None = None,
    seed: Seed = 0,
    skip_bad: bool = False,
) -> None:
    """Convert a raw data set of nnU-Net 2; its ignore label becomes 255.

    Args:
        source: Folder with dataset.json, imagesTr and labelsTr.
        target: Folder of the cohort.
        spacing: Voxel size to resample to, in millimetres, one or three as in 0.8,0.8,5; the scans' own by default.
        validation: Number of the last scans of imagesTr by name that are for validation; by default as
            splits_final.json says, if there is one.
        test: Number of the scans of imagesTr before those that are for testing, besides those of imagesTs.
        split: Numbers of scans of imagesTr for training, validation and testing, drawn at random, as in 30,5,5.
        lists: Files that name the scans for training, validation and testing, as in train.txt,val.txt,test.txt.
        seed: Seed of the random draw.
        skip_bad: Whether to leave out scans with problems instead of writing nothing.
    """
    from common.prepare import prepare_nnunet

    say(
        prepare_nnunet(
            source,
            target,
            spacing,
            validation,
            test,
            split=split,
            lists=_words(lists),
            seed=seed,
            skip_bad=skip_bad,
        )
    )


@export.command(name="nnunet")
def to_nnunet(cohort: AnyPath, target: Folder) -> None:
    """Write a cohort as a raw data set of nnU-Net 2; 255 becomes its ignore label.

    Args:
        cohort: Folder of the cohort.
        target: Folder to write, such as nnUNet_raw/Dataset001_NAME.
    """
    from common.cohort import Cohort
    from common.prepare import export_nnunet

    print(export_nnunet(Cohort.open(cohort), target))


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",")]


def say(cohort: Cohort) -> None:
    """Prints what a cohort holds."""
    from common.prepare import summary

    print(summary(cohort))
