"""Trains the models that come with the bundles, measures them, and puts them into the bundles' folders.

    python benchmarks/shipped_models.py --la COHORT --brats COHORT

COHORT of ``--la`` has all 80 scans of the left-atrium benchmark at 1.25 mm as the pool, that of ``--brats`` four scans:

    python -m common prepare la --source FOLDER_OF_H5 --target COHORT --spacing 1.25 --validation 0
    python -m common prepare brats --source FOLDER --target COHORT --spacing 2 --crop True --clip 0,99.9

A model is measured on the scans of which it had no label: the other ones of the pool, whose images it has seen, or the
validation scan of ``--brats``. Its weights are kept in half precision if that leaves ``SAME`` of the voxels' labels as
they are on the first of these scans, and in single precision if not. A model that is in a bundle already stays as it is
unless ``--replace True`` says otherwise. The same command resumes an interrupted one.
"""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import fire
import nibabel as nib
import numpy as np
import torch
from study_file import read_study
from tables import words

from common.annotations import Ledger
from common.checks import check_one_of
from common.cohort import Cohort
from common.commands.bundles import find_bundle
from common.commands.sfr import sfr
from common.commands.stages import run_bundle, say
from common.files import read_checkpoint, read_json, replacing, write_json
from common.networks.model_files import settings_file

BENCHMARKS = Path(__file__).resolve().parent
STUDY = read_study(BENCHMARKS / "studies/left_atrium.json")
"""The study whose recipes the models on left atria are made by."""
SAME = 0.999
SEED = 0
COMPARED = 8
"""Number of scans on which half and single precision are compared."""

logger = logging.getLogger(__name__)


def main(
    la: str,
    brats: str | None = None,
    output_dir: str = "runs/shipped",
    models: str = "fmabs_la,sfr_stitch_finetune,sfr_retrain,assft_adapt,fmabs_brats",
    threads: int = 1,
    replace: bool = False,
) -> None:
    """Trains what has not been trained yet, and prints a row of a Markdown table for each model.

    Args:
        la: Folder of the left-atrium cohort.
        brats: Folder of the cohort of brain tumours, for `fmabs_brats`.
        output_dir: Folder that gets a folder for each run.
        models: Bundles to make the models of, comma-separated.
        threads: Number of CPU threads.
        replace: Whether a model that is in its bundle already is replaced.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    rows = ["| bundle | annotated | Dice [%] | on scans | voxels with the same label in half precision [%] | MB |"]
    rows += ["|---|---|---|---|---|---|"]
    for name in words(models):
        check_one_of("models", name, TRAININGS)
        cohort = Path(brats or "" if name == "fmabs_brats" else la).resolve()
        run, labelled, settings = TRAININGS[name](cohort, Path(output_dir).resolve())
        rows.append(_ship(name, cohort, run, labelled, settings, replace=replace))
        say("\n".join([f"seed {SEED}, {threads} CPU thread(s), {date.today().isoformat()}", "", *rows, ""]))


Made = tuple[Path, list[str], dict[str, Any]]
"""Folder of the run, ids of the scans of which it had labels, and the settings with which it can be evaluated."""


def _fmabs_la(cohort: Path, folder: Path) -> Made:
    return _train("fmabs_la", cohort, folder / "fmabs_la", STUDY.methods["ours"].settings)


def _fmabs_brats(cohort: Path, folder: Path) -> Made:
    ours = read_json(find_bundle("fmabs_brats") / "configs" / "ours.json")
    return _train(
        "fmabs_brats", cohort, folder / "fmabs_brats", ours | read_json(BENCHMARKS / "shipped" / "brats.json")
    )


def _assft_adapt(cohort: Path, folder: Path) -> Made:
    return _train("assft_adapt", cohort, folder / "assft_adapt", read_json(BENCHMARKS / "shipped" / "assft.json"))


def _train(bundle: str, cohort: Path, run: Path, settings: dict[str, Any]) -> Made:
    settings = settings | {"dataset_dir": str(cohort), "seed": SEED}
    run_bundle(bundle, "train", run, settings)
    return run, sorted(Ledger(run / "ledger.json").labelled), settings


def _sfr(stage: str) -> Callable[[Path, Path], Made]:
    def train(cohort: Path, folder: Path) -> Made:
        recipe = STUDY.methods["sfr_plus_four"].settings
        sfr(cohort, folder / "sfr", seed=SEED, **recipe)
        run = folder / "sfr" / stage
        settings = recipe["retrain" if stage == "retrain" else "finetune"]
        return run, sorted(Ledger(run / "ledger.json").labelled), settings | {"dataset_dir": str(cohort), "seed": SEED}

    return train


TRAININGS: dict[str, Callable[[Path, Path], Made]] = {
    "fmabs_la": _fmabs_la,
    "fmabs_brats": _fmabs_brats,
    "assft_adapt": _assft_adapt,
    "sfr_stitch_finetune": _sfr("finetune_selected"),
    "sfr_retrain": _sfr("retrain"),
}


def _ship(
    name: str, cohort: Path, run: Path, labelled: list[str], settings: Mapping[str, Any], *, replace: bool
) -> str:
    """Measures a model and puts it into its bundle; the row of the table."""
    split = "validation" if Cohort.open(cohort).validation else "training"
    scores = run / f"{split}_scores"
    if not (scores / "metrics.csv").exists():
        run_bundle(name, "evaluate", run, {**settings, "split": split, "evaluation_dir": str(scores)})
    with (scores / "metrics.csv").open() as file:
        dice = {row["scan"]: float(row["dice"]) for row in csv.DictReader(file) if row["scan"] not in labelled}
    halved = run / "half" / "model.pt"
    content = read_checkpoint(run / "model.pt", expected="weights", found="something else")
    half = {key: it.half() if it.is_floating_point() else it for key, it in content.items()}
    with replacing(halved) as temporary:
        torch.save(half, temporary)
    write_json(settings_file(halved), read_json(settings_file(run / "model.pt")))
    same = _same_labels(name, run, cohort, list(dice)[:COMPARED], halved)
    chosen = halved if same >= SAME else run / "model.pt"
    target = find_bundle(name) / "models" / "model.pt"
    if target.exists() and not replace:
        logger.warning("%s is there already and stays as it is; --replace True replaces it.", target)
    else:
        for source, place in ((settings_file(chosen), settings_file(target)), (chosen, target)):
            with replacing(place) as temporary:
                temporary.write_bytes(source.read_bytes())
    mean, deviation = 100 * np.mean(list(dice.values())), 100 * np.std(list(dice.values()))
    megabytes = chosen.stat().st_size / 1e6
    where = f"{len(dice)} of {split}"
    return (
        f"| `{name}` | {len(labelled)} | {mean:.1f} ± {deviation:.1f} | {where} | {100 * same:.3f} | {megabytes:.1f} |"
    )


def _same_labels(name: str, run: Path, cohort: Path, scans: list[str], halved: Path) -> float:
    """Share of the voxels of some scans that get the same label from weights in half and in single precision."""
    images = run / "compared"
    images.mkdir(exist_ok=True)
    for scan in scans:
        image = Cohort.open(cohort).scan(scan).image
        link = images / image.name
        if not link.exists():
            link.symlink_to(image)
    masks = []
    for weights in (run / "model.pt", halved):
        folder = weights.parent / "compared_predictions"
        given = {"dataset_dir": str(images), "checkpoint": str(weights), "prediction_dir": str(folder)}
        run_bundle(name, "inference", weights.parent, given)
        masks.append([np.asarray(nib.load(path).dataobj) for path in sorted(folder.glob("*.nii.gz"))])
    equal = [(a == b).mean() for a, b in zip(*masks, strict=True)]
    return float(np.mean(equal))


if __name__ == "__main__":
    fire.Fire(main)
