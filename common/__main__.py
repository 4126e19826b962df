"""The command line: ``python -m common COMMAND``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter, Token

from common.commands.publish import fetch_bundle, pack, release

if TYPE_CHECKING:
    from common.cohort import Cohort


def _whole(_: Any, words: Sequence[Token]) -> int:
    """A whole number; by itself cyclopts takes 2.5 for 2."""
    try:
        return int(words[0].value)
    except ValueError:
        raise ValueError(f"must be a whole number, got {words[0].value!r}.") from None


def _several(kind: Callable[[str], Any], expected: str) -> Callable[[Any, Sequence[Token]], list[Any]]:
    """A converter for numbers of a kind between commas; ``expected`` says what they are, for the error's message."""

    def numbers(_: Any, words: Sequence[Token]) -> list[Any]:
        try:
            return [kind(number) for number in words[0].value.strip("[]()").split(",")]
        except ValueError:
            raise ValueError(f"must be {expected}, got {words[0].value!r}.") from None

    return numbers


def _sides(_: Any, words: Sequence[Token]) -> int | list[int]:
    """One whole number, or several between commas."""
    sides = _several(int, "one whole number, or three as in [64,64,32]")(_, words)
    return sides[0] if len(sides) == 1 else sides


Whole = Annotated[int, Parameter(converter=_whole)]
Sides = Annotated[int | list[int], Parameter(converter=_sides, n_tokens=1, json_list=False)]
Counts = Annotated[
    list[int],
    Parameter(converter=_several(int, "whole numbers as in 250,25,60"), n_tokens=1, json_list=False),
]
Percentiles = Annotated[
    list[float],
    Parameter(converter=_several(float, "two numbers as in 0,99.9"), n_tokens=1, json_list=False),
]

FLAGS = ("--crop", "--plus", "--selective")
"""Options that may stand alone, or before true or false."""

app = App(
    name="python -m common",
    help="Label-efficient 3D medical image segmentation. COMMAND --help explains a command and its options.",
    default_parameter=Parameter(name_transform=lambda name: name, negative=""),
    error_formatter=lambda error: f"Error: {error}",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    version_flags=(),
)
prepare = App(name="prepare", help="Turn other data into a cohort: NIfTI files and a datalist.json.")
weights = App(name="weights", help="List, download and find public pre-trained weights.")
app.command(prepare)
app.command(weights)
app.command(fetch_bundle, name="fetch_bundle")
app.command(pack)
app.command(release)


@app.command
def assft(
    output_dir: str,
    dataset_dir: str | None = None,
    pretrained: str | None = None,
    budget: Whole = 4,
    query: str = "assft",
    annotator: str = "oracle",
    seed: Whole = 0,
    selective: bool = True,
    pretrain: str | None = None,
    querying: str | None = None,
    train: str | None = None,
) -> None:
    """Choose the scans worth labelling with a pre-trained network, fine-tune it on them, and evaluate it.

    Args:
        output_dir: Folder that gets the files of all stages; the same command again resumes where it stopped.
        dataset_dir: Folder of a cohort; made-up scans by default.
        pretrained: File of weights, or a name of `weights list`; by default a network is pre-trained on made-up scans.
        budget: Number of scans that are labelled.
        query: Strategy that chooses them: assft, or one of the FM-ABS bundles such as her, coreset or random.
        annotator: oracle takes the cohort's labels; folder says what to draw where, and the same command resumes.
        seed: Seed of all stages.
        selective: Whether to learn from reliable predictions of the other scans too; false for the labelled ones alone.
        pretrain: JSON file with settings that replace those of assft_adapt's pretrain.json.
        querying: JSON file with settings that replace those of its query.json.
        train: JSON file with settings that replace those of its train.json.
    """
    from common.commands.assft import assft as run

    run(
        dataset_dir,
        output_dir,
        pretrained=pretrained,
        budget=budget,
        query=query,
        annotator=annotator,
        seed=seed,
        selective=selective,
        **_settings(pretrain=pretrain, querying=querying, train=train),
    )


@app.command
def demo(output_dir: str = "runs/demo", seed: Whole = 0) -> None:
    """Run FM-ABS beside supervised training on made-up scans, in minutes on two CPU cores.

    Args:
        output_dir: Folder that gets report.html, metrics.json, the scans and a folder per method; the same command
            again resumes.
        seed: Seed of the scans and of both trainings.
    """
    from common.commands.demo import DemoSettings
    from common.commands.demo import demo as run

    run(output_dir, DemoSettings(seed=seed))


@app.command
def phantom(
    target: str,
    scans: Whole = 12,
    size: Sides = 64,
    seed: Whole = 0,
    validation: Whole | None = None,
    test: Whole | None = None,
    domain: str = "target",
) -> None:
    """Write a cohort of made-up scans: something like a heart in MRI, with the left atrium as the class.

    Args:
        target: Folder of the cohort.
        scans: Number of scans, all splits together.
        size: Voxels along each axis: one number, or three as in [64,64,32].
        seed: Seed of the cohort; the same seed gives the same scans.
        validation: Number of scans for validation; a sixth by default.
        test: Number of scans for testing; a sixth by default.
        domain: Scanner and patients that the scans imitate, such as source for those that a model is pre-trained on.
    """
    from common.prepare import write_phantom

    _say(write_phantom(target, scans, size, seed, validation=validation, test=test, domain=domain, progress=True))


@prepare.command
def la(source: str, target: str, spacing: float | None = None, validation: Whole = 16) -> None:
    """Convert the left-atrium benchmark's h5 files.

    Args:
        source: Folder with train.list and CASE/mri_norm2.h5.
        target: Folder of the cohort.
        spacing: Voxel size to resample to, in millimetres (1.25 halves the resolution); their own 0.625 by default.
        validation: Number of the list's last cases that are for validation; 0 for the official 80 and 20 (test.list).
    """
    from common.prepare import prepare_la

    _say(prepare_la(source, target, spacing, validation))


@prepare.command
def brats(
    source: str,
    target: str,
    spacing: float | None = None,
    validation: Whole | None = None,
    modality: str = "flair",
    crop: bool = False,
    clip: Percentiles | None = None,
    split: Counts | None = None,
    lists: str | None = None,
    seed: Whole = 0,
) -> None:
    """Convert BraTS folders of 2013 to 2023, with the whole tumour as the one class.

    Args:
        source: Folder with a folder per patient, such as BraTS19_2013_0_1, directly or in folders such as HGG and LGG.
        target: Folder of the cohort.
        spacing: Voxel size to resample to, in millimetres; the scans' own by default.
        validation: Number of the last patients by name that are for validation; 1 by default.
        modality: flair, t1, t1ce or t2.
        crop: Whether to crop scans to the brain's bounding box.
        clip: Two percentiles of the intensities in the brain, as in 0,99.9, at which these are clipped.
        split: Numbers of patients for training, validation and testing, drawn at random, as in 250,25,60.
        lists: Files that name the patients for training, validation and testing, as in train.txt,val.txt,test.txt.
        seed: Seed of the random draw.
    """
    from common.prepare import prepare_brats

    _say(
        prepare_brats(
            source,
            target,
            spacing,
            validation,
            modality=modality,
            crop=crop,
            clip=clip,
            split=split,
            lists=None if lists is None else lists.split(","),
            seed=seed,
        )
    )


@prepare.command
def nifti(
    images: str,
    target: str,
    labels: str | None = None,
    spacing: float | None = None,
    validation: Whole = 0,
    test: Whole = 0,
    classes: str = "foreground",
    name: str | None = None,
) -> None:
    """Convert your own NIfTI files.

    Args:
        images: Folder with one .nii or .nii.gz file per scan.
        target: Folder of the cohort.
        labels: Folder with labels under the images' file names; scans without one stay unlabelled.
        spacing: Voxel size to resample to, in millimetres; the scans' own by default.
        validation: Number of the labelled scans that are for validation.
        test: Number of scans that are for testing.
        classes: Names of the classes 1, 2, …, separated by commas.
        name: Name of the study; the target's by default.
    """
    from common.prepare import prepare_nifti

    _say(prepare_nifti(images, target, labels, spacing, validation, test, classes=classes.split(","), name=name))


@app.command
def report(output_dir: str, dataset_dir: str | None = None, picture: str | None = None) -> None:
    """Write a page that tells what a run did, or several runs on one cohort: OUTPUT_DIR/report.html.

    Args:
        output_dir: Folder of a run, or the folder above several runs.
        dataset_dir: Folder of the cohort, for the pictures; by default cohort or phantom in the run's folder, or the
            one that assft or sfr was given.
        picture: PNG file that gets the page's main picture, if wanted.
    """
    from common.report import write_report

    print(write_report(output_dir, dataset_dir, picture))


@app.command
def sfr(
    output_dir: str,
    dataset_dir: str | None = None,
    labelled: Whole | None = None,
    plus: bool = False,
    sam: str = "small",
    share: float = 0.5,
    threshold: float = 0.8,
    seed: Whole = 0,
    finetune: str | None = None,
    pseudo_label: str | None = None,
    retrain: str | None = None,
) -> None:
    """Fine-tune SAM on stitched slices, label the other scans, train a 3D network on all of them, and evaluate it.

    Args:
        output_dir: Folder that gets a folder per stage; the same command again resumes where it stopped.
        dataset_dir: Folder of a cohort; made-up scans by default.
        labelled: Number of training scans whose labels are used, the first ones of the cohort; all that have a label by
            default.
        plus: Our variant of SFR+: fine-tune once more with the most confident pseudo-labels, and weigh scans by their
            confidence.
        sam: small (trained from random weights), mobile_sam, sam_vit_b, sam_vit_l, sam_vit_h, medsam or
            lite_medsam.
        share: Share of the unlabelled scans, the most confident ones, that join the second fine-tuning (SFR+).
        threshold: Confidence below which a voxel is left out (SFR+), 0 to 1.
        seed: Seed of all stages.
        finetune: JSON file with settings that replace those of sfr_stitch_finetune's train.json.
        pseudo_label: JSON file with settings that replace those of its pseudo_label.json.
        retrain: JSON file with settings that replace those of sfr_retrain's train.json.
    """
    from common.commands.sfr import sfr as run

    settings = _settings(finetune=finetune, pseudo_label=pseudo_label, retrain=retrain)
    settings["finetune"] = {"sam": sam} | settings["finetune"]
    run(
        dataset_dir,
        output_dir,
        labelled=labelled,
        plus=plus,
        share=share,
        threshold=threshold,
        seed=seed,
        **settings,
    )


@weights.command(name="list")
def list_weights() -> None:
    """List the weights that can be downloaded, and which of them are on this computer."""
    from common.weights import CATALOGUE, path

    rows = [("name", "size", "license", "present", "path")]
    for name, known in CATALOGUE.items():
        size = "unknown" if known.size is None else f"{known.size / 1e6:,.0f} MB"
        rows.append((name, size, known.license, "yes" if path(name).is_file() else "no", str(path(name))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@weights.command
def fetch(name: str, url: str | None = None) -> None:
    """Download weights, or resume an interrupted download, check them, and print where they are.

    Args:
        name: Name of the weights, as list shows it.
        url: Another address of the same file, such as a mirror's.
    """
    from common.weights import fetch

    print(fetch(name, url))


@weights.command(name="path")
def path_of_weights(name: str) -> None:
    """Print where a file of weights is or would be.

    Args:
        name: Name of the weights, as list shows it.
    """
    from common.weights import path

    print(path(name))


def _settings(**files: str | None) -> dict[str, Any]:
    """The content of JSON files of settings, by the stage that they are for."""
    from common.files import read_json

    settings = {stage: {} if file is None else read_json(file) for stage, file in files.items()}
    for stage, file in files.items():
        if not isinstance(settings[stage], dict):
            raise ValueError(f"{file}: expected settings by name, found {type(settings[stage]).__name__}.")
    return settings


def _say(cohort: Cohort) -> None:
    counts = f"{len(cohort.training)} training, {len(cohort.validation)} validation, {len(cohort.test)} test scans"
    print(f"{cohort.folder}: {cohort.name}, {counts}.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; what is wrong with the user's input becomes a message, not a traceback.

    Args:
        arguments: Words of the command line, without the program's name; those of this process by default.
    """
    words: list[str] = []
    for word in sys.argv[1:] if arguments is None else arguments:
        if words and words[-1] in FLAGS and not word.startswith("-"):
            words[-1] += f"={word}"  # the only form in which cyclopts takes a word for a flag
        else:
            words.append(word)
    try:
        app(words)
    except (ValueError, FileNotFoundError, FileExistsError, ImportError, RuntimeError) as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        print("\nStopped; the same command resumes from here.", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def _end(number: int, _: Any) -> None:
    """Ends a killed command like an interrupted one, so that it takes its stage's process with it."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    main()
