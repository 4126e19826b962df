"""Compares the pseudo-labels of SAMs that are fine-tuned on one and four left-atrium scans at half resolution.

The cohort is made by ``python -m common prepare la --source … --target COHORT --spacing 1.25``. Each SAM
learns from the labelled scans and labels the others, without and with refinement by the embedded generalist: the first
stage of SFR. The same command resumes an interrupted benchmark.

    python benchmarks/sfr_pseudo_labels.py --dataset_dir COHORT --sams small,lite_medsam --table FILE

Settings of the small SAM are in ``benchmarks/sfr/finetune.json``, those of another in ``finetune_NAME.json`` there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import fire
from confidence import score, summary
from tables import words

from common.checks import check_one_of
from common.commands.bundles import known_settings
from common.commands.stages import Steps, run_bundle
from common.files import read_json

BUNDLE = "sfr_stitch_finetune"
SETTINGS = Path(__file__).resolve().parent / "sfr"


def main(
    dataset_dir: str,
    output_dir: str = "runs/sfr_pseudo_labels",
    sams: str = "small,lite_medsam",
    labelled: str = "1,4",
    ways: str = "plain,refined",
    seed: int = 0,
    checkpoint: str | None = None,
    table: str | None = None,
) -> None:
    """Runs what has not been run yet, prints the table after each SAM, and writes it to a Markdown file.

    Args:
        dataset_dir: Folder of the cohort.
        output_dir: Folder that gets a folder for each SAM and number of labelled scans.
        sams: Kinds of SAM, comma-separated.
        labelled: Numbers of labelled scans, comma-separated.
        ways: Whether the labels are SAM's own (`plain`), improved by the embedded generalist (`refined`), or both.
        seed: Seed of the runs.
        checkpoint: File of the weights of the SAM that is not `small`; by default those that were fetched.
        table: Markdown file to write; by default none.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    cohort, folder = Path(dataset_dir).resolve(), Path(output_dir).resolve()
    lines = [
        f"{date.today().isoformat()}, CPU, one thread, seed {seed}.",
        "",
        "| labelled scans | SAM | labels | Dice of the pseudo-labels [%] | voxels labelled [%] | Spearman's ρ |",
        "|---|---|---|---|---|---|",
    ]
    for number in map(int, words(labelled)):
        for sam in words(sams):
            weights = None if sam == "small" else checkpoint
            settings = _settings(sam) | {"dataset_dir": str(cohort), "sam_checkpoint": weights}
            output = folder / f"{sam}_{number}_{seed}"
            for way, labels in _label(output, settings, words(ways), labelled=number, seed=seed).items():
                dice, kept, rank = summary(score(cohort, labels))
                cells = f"{100 * dice:.1f} | {100 * kept:.0f} | {rank:.2f}"
                lines.append(f"| {number} | `{sam}` | {way} | {cells} |")
            text = "\n".join([*lines, ""])
            print(text, flush=True)
            if table:
                Path(table).write_text(text)


def _settings(sam: str) -> dict[str, Any]:
    file = SETTINGS / ("finetune.json" if sam == "small" else f"finetune_{sam}.json")
    settings: dict[str, Any] = read_json(file) | {"sam": sam}
    return settings


def _label(output: Path, settings: dict[str, Any], ways: Sequence[str], *, labelled: int, seed: int) -> dict[str, Path]:
    """Fine-tunes a SAM and lets it label the other scans; the labels' folders by way."""
    steps = Steps(output / "progress.json")
    with steps.step("train") as wanted:
        if wanted:
            run_bundle(BUNDLE, "train", output, settings | {"labelled": labelled, "seed": seed})
    kept = known_settings(BUNDLE, "pseudo_label", settings)
    folders = {way: output / way for way in ways}
    for way, labels in folders.items():
        check_one_of("ways", way, ["plain", "refined"])
        with steps.step(labels.name) as wanted:
            if wanted:
                run_bundle(
                    BUNDLE, "pseudo_label", output, kept | {"refine": way == "refined", "pseudo_label_dir": str(labels)}
                )
    return folders


if __name__ == "__main__":
    fire.Fire(main)
