"""The command line: ``python -m common COMMAND``."""

from __future__ import annotations

import functools
import inspect
import signal
import sys
import types
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import fire

if TYPE_CHECKING:
    from common.cohort import Cohort


KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


class Task:
    """A command whose arguments have all been understood.

    Args:
        run: does it. Private, since Fire takes what is public for a further command.
    """

    def __init__(self, run: Callable[[], None]) -> None:
        self._run = run


def command(function: Callable[..., None]) -> Callable[..., Task]:
    """Makes a command of a function, which then runs only after all of the command line has been understood.

    Fire by itself runs a function first and complains about an unknown argument afterwards.
    """

    @functools.wraps(function)
    def prepared(*args: Any, **kwargs: Any) -> Task:
        return Task(functools.partial(_call, function, *args, **kwargs))

    return prepared


def _call(function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Calls a function with words of the command line, which Fire takes for whatever Python would."""
    kinds = get_type_hints(function)
    given = inspect.signature(function).bind(*args, **kwargs)
    for name, word in given.arguments.items():
        if name in kinds:
            given.arguments[name] = _understood(name, word, kinds[name])
    function(*given.args, **given.kwargs)


def _understood(name: str, word: Any, kind: Any) -> Any:
    """A word of the command line as the kind of thing that an argument is.

    Raises:
        ValueError: if it is none.
    """
    kinds = get_args(kind) if get_origin(kind) is types.UnionType else (kind,)
    if bool in kinds and str(word) in ("true", "false"):
        return str(word) == "true"
    for one in kinds:
        wanted = (int, float) if one is float else get_origin(one) or one
        if isinstance(word, wanted) and (one is bool or not isinstance(word, bool)):
            return word
    if str in kinds and not isinstance(word, bool):
        return str(word)
    names = [KINDS[one] for one in kinds if one in KINDS]
    raise ValueError(f"{name} must be {' or '.join(names)}, got {word!r}.")


class Prepare:
    """Turns other data into a cohort: NIfTI files and a datalist.json."""

    @command
    def la(self, source: str, target: str, spacing: float | None = None, validation: int = 16) -> None:
        """The left-atrium benchmark's h5 files.

        Args:
            source: folder with train.list and CASE/mri_norm2.h5.
            target: folder of the cohort.
            spacing: to resample to, in millimetres (1.25 halves the resolution); by default the scans' own 0.625.
            validation: how many of the list's last cases are for validation.
        """
        from common.prepare import prepare_la

        _say(prepare_la(source, target, spacing, validation))

    @command
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
        from common.prepare import prepare_brats

        _say(prepare_brats(source, target, spacing, validation, modality=modality))

    @command
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
        from common.prepare import prepare_nifti

        names = classes.split(",") if isinstance(classes, str) else classes
        _say(prepare_nifti(images, target, labels, spacing, validation, test, classes=names, name=name))


class Weights:
    """Public pre-trained weights."""

    @command
    def list(self) -> None:
        """Which there are, and which of them are on this computer."""
        from common.weights import CATALOGUE, path

        rows = [("name", "size", "license", "present", "path")]
        for name, weights in CATALOGUE.items():
            size = "unknown" if weights.size is None else f"{weights.size / 1e6:,.0f} MB"
            rows.append((name, size, weights.license, "yes" if path(name).is_file() else "no", str(path(name))))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    @command
    def fetch(self, name: str, url: str | None = None) -> None:
        """Downloads weights, or goes on with an interrupted download, and checks them; prints where they are.

        Args:
            name: as `list` names them.
            url: another address of the same file, such as a mirror's.
        """
        from common.weights import fetch

        print(fetch(name, url))

    @command
    def path(self, name: str) -> None:
        """Where a file of weights is or would be.

        Args:
            name: as `list` names them.
        """
        from common.weights import path

        print(path(name))


@command
def phantom(
    target: str,
    scans: int = 12,
    size: int | Sequence[int] = 64,
    seed: int = 0,
    validation: int | None = None,
    test: int | None = None,
    domain: str = "target",
) -> None:
    """Writes a cohort of made-up scans: something like a heart in MRI, with the left atrium as the class.

    Args:
        target: folder of the cohort.
        scans: how many, all splits together.
        size: voxels along each axis.
        seed: of the cohort; the same one gives the same scans.
        validation: how many are for validation; by default a sixth.
        test: how many are for testing; by default a sixth.
        domain: whose scanner and patients, e.g. source for those that a model is pre-trained on.
    """
    from common.prepare import write_phantom

    _say(write_phantom(target, scans, size, seed, validation=validation, test=test, domain=domain, progress=True))


@command
def demo(output_dir: str = "runs/demo", seed: int = 0) -> None:
    """The whole method on made-up scans, beside plain supervised training, in minutes on two CPU cores.

    Args:
        output_dir: gets report.html, metrics.json, the scans, and a folder a method; the same command again goes on.
        seed: of the scans and of the trainings.
    """
    from common.commands.demo import DemoSettings
    from common.commands.demo import demo as run

    run(output_dir, DemoSettings(seed=seed))


@command
def report(output_dir: str, dataset_dir: str | None = None, picture: str | None = None) -> None:
    """Writes a page that tells what a run did, or several runs on one cohort: OUTPUT_DIR/report.html.

    Args:
        output_dir: of a run, or the folder above several.
        dataset_dir: of the cohort, for the pictures; by default cohort or phantom in the run's folder, or the one that
            assft or sfr was given.
        picture: file for the page's main picture as a PNG, if wanted.
    """
    from common.report import write_report

    print(write_report(output_dir, dataset_dir, picture))


@command
def assft(
    output_dir: str,
    dataset_dir: str | None = None,
    pretrained: str | None = None,
    budget: int = 4,
    query: str = "assft",
    annotator: str = "oracle",
    seed: int = 0,
    selective: bool = True,
    pretrain: str | None = None,
    querying: str | None = None,
    train: str | None = None,
) -> None:
    """Chooses the scans worth labelling with a pre-trained network, fine-tunes it on them, and evaluates it.

    Args:
        output_dir: gets everything; the same command again goes on where it stopped.
        dataset_dir: a cohort; by default made-up scans.
        pretrained: file of weights, or a name of `common weights`; by default made-up scans pre-train one.
        budget: how many scans are labelled.
        query: strategy that chooses them: assft, or one of the FM-ABS bundles such as her, coreset or random.
        annotator: oracle takes the cohort's labels; folder says what to draw where, and the same command goes on.
        seed: of all.
        selective: learn from reliable predictions of the other scans too, not from the labelled scans alone.
        pretrain: JSON file with settings for assft_adapt's pretrain.json.
        querying: JSON file with settings for its query.json.
        train: JSON file with settings for its train.json.
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


@command
def sfr(
    output_dir: str,
    dataset_dir: str | None = None,
    labelled: int | None = None,
    plus: bool = False,
    sam: str = "small",
    share: float = 0.5,
    threshold: float = 0.8,
    seed: int = 0,
    finetune: str | None = None,
    pseudo_label: str | None = None,
    retrain: str | None = None,
) -> None:
    """Fine-tunes SAM on stitched slices, labels the other scans, trains a 3D network on all, and evaluates it.

    Args:
        output_dir: gets a folder a stage; the same command again goes on where it stopped.
        dataset_dir: a cohort; by default made-up scans.
        labelled: only the first so many training scans' labels are used; by default all that there are.
        plus: SFR+: fine-tune once more with the most confident pseudo-labels, and weigh scans by their confidence.
        sam: small (trained from nothing), mobile_sam, sam_vit_b, sam_vit_l, sam_vit_h or medsam.
        share: of the unlabelled scans that join the second fine-tuning (SFR+).
        threshold: voxels with a lower confidence are left out (SFR+).
        seed: of all.
        finetune: JSON file with settings for sfr_stitch_finetune's train.json.
        pseudo_label: JSON file with settings for its pseudo_label.json.
        retrain: JSON file with settings for sfr_retrain's train.json.
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


def _settings(**files: str | None) -> dict[str, Any]:
    """What is in JSON files of settings, by the stage they are for."""
    from common.files import read_json

    settings = {stage: {} if file is None else read_json(file) for stage, file in files.items()}
    for stage, file in files.items():
        if not isinstance(settings[stage], dict):
            raise ValueError(f"{file}: expected settings by name, found {type(settings[stage]).__name__}.")
    return settings


def _say(cohort: Cohort) -> None:
    counts = f"{len(cohort.training)} training, {len(cohort.validation)} validation, {len(cohort.test)} test scans"
    print(f"{cohort.folder}: {cohort.name}, {counts}.")


COMMANDS = {
    "assft": assft,
    "demo": demo,
    "phantom": phantom,
    "prepare": Prepare,
    "report": report,
    "sfr": sfr,
    "weights": Weights,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; what is wrong with the user's input becomes a message, not a traceback."""
    given = None if arguments is None else list(arguments)
    task = fire.Fire(COMMANDS, command=given, name="common", serialize=_shown)
    if isinstance(task, Task):
        try:
            task._run()
        except (ValueError, FileNotFoundError, FileExistsError, ImportError, RuntimeError) as error:
            sys.exit(f"Error: {error}")
        except KeyboardInterrupt:
            print("\nStopped; the same command goes on from here.", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)


def _shown(result: Any) -> Any:
    return None if isinstance(result, Task) else result


def _end(number: int, _: Any) -> None:
    """A killed command ends like an interrupted one, and takes the bundle that it runs with it."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    main()
