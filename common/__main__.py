"""The command line: ``python -m common COMMAND``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App, Parameter

from common.commands.labels import labels
from common.commands.options import (
    AnyPath,
    Count,
    Folder,
    Positive,
    Probability,
    Seed,
    Share,
    Sides,
    Text,
)
from common.commands.plan import plan
from common.commands.prepare import export, prepare, say
from common.commands.publish import fetch_bundle, pack, release
from common.refusals import shown_in_full

FLAGS = ("--crop", "--overwrite", "--plus", "--selective", "--skip_bad")
"""Options that may stand alone, or before true or false."""

DEBUG = "--debug"
"""Word that any command takes: its errors keep their traceback."""

app = App(
    name="python -m common",
    help="Label-efficient 3D medical image segmentation. COMMAND --help explains a command and its options; --debug "
    "shows where in the code a command failed.",
    default_parameter=Parameter(name_transform=lambda name: name, negative=""),
    error_formatter=lambda error: f"Error: {error}",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    version_flags=(),
)
weights = App(name="weights", help="List, download and find public pre-trained weights.")
app.command(prepare)
app.command(plan)
app.command(export)
app.command(labels)
app.command(weights)
app.command(fetch_bundle, name="fetch_bundle")
app.command(pack)
app.command(release)


@app.command
def assft(
    output_dir: Folder,
    dataset_dir: AnyPath | None = None,
    pretrained: AnyPath | None = None,
    budget: Positive = 4,
    query: Text = "assft",
    annotator: Text = "oracle",
    seed: Seed = 0,
    selective: bool = True,
    pretrain: AnyPath | None = None,
    querying: AnyPath | None = None,
    train: AnyPath | None = None,
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
def demo(output_dir: Folder = "runs/demo", seed: Seed = 0) -> None:
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
    target: Folder,
    scans: Positive = 12,
    size: Sides = 64,
    seed: Seed = 0,
    validation: Count | None = None,
    test: Count | None = None,
    domain: Text = "target",
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

    say(write_phantom(target, scans, size, seed, validation=validation, test=test, domain=domain, progress=True))


@app.command
def report(
    *runs: Folder,
    output_dir: Folder | None = None,
    dataset_dir: AnyPath | None = None,
    picture: AnyPath | None = None,
) -> None:
    """Write a page that tells what a run did, or compares several: RUN/report.html, or comparison.html.

    Args:
        runs: Folder of a run, the folder above several runs on one cohort, or the folders of runs to compare.
        output_dir: Folder that gets comparison.html; the first run's by default. The run's folder, if none is given
            otherwise.
        dataset_dir: Folder of the cohort, for the pictures; by default cohort or phantom in the run's folder, or the
            one that assft or sfr was given.
        picture: PNG file that gets the page's main picture, if wanted.
    """
    from common.report import write_comparison, write_report

    if len(runs) > 1:
        print(write_comparison(runs, output_dir, dataset_dir, picture))
        return
    given = [*runs, *([] if output_dir is None else [output_dir])]
    if len(given) != 1:
        raise ValueError(
            f"report expects the folder of a run, once, got {' and '.join(given) or 'none'}; give RUN to report on one "
            "run, or several folders to compare their runs."
        )
    print(write_report(given[0], dataset_dir, picture))


@app.command
def sfr(
    output_dir: Folder,
    dataset_dir: AnyPath | None = None,
    labelled: Positive | None = None,
    annotator: Text = "oracle",
    plus: bool = False,
    sam: Text = "small",
    share: Share = 0.5,
    threshold: Probability = 0.8,
    seed: Seed = 0,
    finetune: AnyPath | None = None,
    pseudo_label: AnyPath | None = None,
    retrain: AnyPath | None = None,
) -> None:
    """Fine-tune SAM on stitched slices, label the other scans, train a 3D network on all of them, and evaluate it.

    Args:
        output_dir: Folder that gets a folder per stage; the same command again resumes where it stopped.
        dataset_dir: Folder of a cohort; made-up scans by default.
        labelled: Number of training scans whose labels are used, the first ones of the cohort; all that have a label by
            default.
        annotator: oracle for complete labels; datalist for labels of which some slices, voxels or classes are not
            annotated.
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
        annotator=annotator,
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
def fetch(name: Text, url: Text | None = None) -> None:
    """Download weights, or resume an interrupted download, check them, and print where they are.

    Args:
        name: Name of the weights, as list shows it.
        url: Another address of the same file, such as a mirror's.
    """
    from common.weights import fetch

    print(fetch(name, url))


@weights.command(name="path")
def path_of_weights(name: Text) -> None:
    """Print where a file of weights is or would be.

    Args:
        name: Name of the weights, as list shows it.
    """
    from common.weights import path

    print(path(name))


def _settings(**files: str | None) -> dict[str, Any]:
    """The content of JSON files of settings, by the stage that they are for, without notes such as a plan's."""
    from common.files import read_json
    from common.plan.write import NOTES

    settings = {stage: {} if file is None else read_json(file) for stage, file in files.items()}
    for stage, file in files.items():
        if not isinstance(settings[stage], dict):
            raise ValueError(f"{file}: expected settings by name, found {type(settings[stage]).__name__}.")
    return {stage: {name: it for name, it in found.items() if name != NOTES} for stage, found in settings.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; what is wrong with the user's input becomes a message, not a traceback.

    Args:
        arguments: Words of the command line, without the program's name; those of this process by default.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    traceback = DEBUG in given or shown_in_full()
    words: list[str] = []
    for word in given:
        if words and words[-1] in FLAGS and not word.startswith("-"):
            words[-1] += f"={word}"  # the only form in which cyclopts takes a word for a flag
        elif word != DEBUG:
            words.append(word)
    try:
        app(words)
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        if traceback:
            raise
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
