"""What the marginal loss is worth where some scans have labels of some classes only.

A cohort's training scans lose one class in every second label: what was that class is background there. Networks are
trained with the bundle ``sfr_retrain``, without pseudo-labels, and evaluated on the cohort's test scans:

- ``background``: as if the lost class were background, without a word in the datalist;
- ``marginal``: the same labels, with ``annotated_classes`` in the datalist;
- ``all``: with all labels as they were, which is as much as can be reached;
- ``complete``: with the complete labels alone, half as many scans.

    python benchmarks/partial_classes.py --dataset_dir COHORT --output_dir runs/partial_classes --table FILE

The same command again resumes. 500 iterations are too few to tell the arms apart: networks of them still miss a whole
class now and then, whatever the labels.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import fire
import numpy as np
import torch

from common.checks import check_one_of
from common.cohort import Cohort, Scan, write_datalist
from common.cohort.volumes import integer_labels, read_voxels
from common.commands.bundles import run_workflow
from common.files import read_json, write_nifti

ARMS = ("background", "marginal", "all", "complete")
ADAMW = {"_target_": "torch.optim.AdamW", "params": "$@network.parameters()", "lr": "@learning_rate"}
"""Learns small cohorts in fewer iterations than the bundle's own optimiser."""
FALLING = {
    "_target_": "torch.optim.lr_scheduler.PolynomialLR",
    "optimizer": "@optimizer",
    "total_iters": "@max_iterations",
    "power": 0.9,
}
BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "sfr_retrain"


def main(
    dataset_dir: str,
    output_dir: str = "runs/partial_classes",
    arms: str = ",".join(ARMS),
    lost: str = "posterior",
    scans: int = 40,
    test: int = 20,
    seeds: str = "0",
    max_iterations: int = 3000,
    roi_size: str = "16,32,16",
    width: int = 8,
    table: str | None = None,
) -> None:
    """Prints the Dice of each class in each arm, and writes it to a Markdown file.

    Args:
        dataset_dir: Folder of a cohort of at least two classes, with test scans.
        output_dir: Folder that gets the cohorts and the runs.
        arms: Which of the arms above, comma-separated.
        lost: Name of the class that every second label loses.
        scans: Number of training scans that are used, the first ones.
        test: Number of test scans that are used, the first ones.
        seeds: Seeds of the trainings, comma-separated.
        max_iterations: Length of each training in iterations.
        roi_size: Sides of the patches in voxels, comma-separated, each divisible by 16.
        width: Width of the network.
        table: Markdown file to write; by default none.

    Raises:
        ValueError: If the cohort has no such class, or too few training scans with a label.
    """
    torch.set_num_threads(1)
    cohort, folder = Cohort.open(dataset_dir), Path(output_dir)
    sides = [int(side) for side in _words(roi_size)]
    settings = {"roi_size": sides, "network_def#width": width, "device": "cpu", "precision": "fp32"}
    settings |= {"optimizer": ADAMW, "lr_scheduler": FALLING, "learning_rate": 0.003, "batch_labelled": 4}
    rows = []
    for arm in _words(arms):
        check_one_of("arms", arm, ARMS)
        make_cohort(cohort, folder / "cohorts" / arm, arm=arm, lost=lost, scans=scans, test=test)
        found = [
            train(folder / "cohorts" / arm, folder / f"{arm}_{seed}", int(seed), max_iterations, settings)
            for seed in _words(seeds)
        ]
        cells = [_cell([one["classes"][name]["dice"]["mean"] for one in found]) for name in cohort.labels.values()]
        rows.append(f"| `{arm}` | {' | '.join(cells)} |")
    names = " | ".join(cohort.labels.values())
    lines = [
        f"{scans} training and {min(test, len(cohort.labelled('test')))} test scans; {lost} is missing in every second "
        f"training label. Mean Dice [%], trainings of {max_iterations} iterations with the seeds {seeds}, patches of "
        f"{'×'.join(map(str, sides))}, width {width}, one CPU core; {date.today()}.",
        "",
        f"| labels | {names} |",
        f"|---|{'---|' * len(cohort.labels)}",
        *rows,
        "",
    ]
    print("\n".join(lines))
    if table is not None:
        Path(table).write_text("\n".join(lines), encoding="utf-8")


def make_cohort(cohort: Cohort, target: Path, *, arm: str, lost: str, scans: int, test: int) -> None:
    """Writes the cohort of an arm, whose images are those of the given cohort."""
    numbers = [number for number, name in cohort.labels.items() if name == lost]
    training = [scan for scan in cohort.training if scan.label is not None][:scans]
    if len(numbers) != 1 or len(training) < scans:
        raise ValueError(
            f"{cohort.folder}: expected a class {lost} and {scans} training scans with a label, found the classes "
            f"{', '.join(cohort.labels.values())} and {len(training)} such scans."
        )
    others = [name for name in cohort.labels.values() if name != lost]
    items: list[dict[str, Any]] = []
    for place, scan in enumerate(training):
        if arm == "all" or place % 2 == 0:
            items.append(_item(scan))
        elif arm != "complete":
            label = target / "labels" / f"{scan.id}.nii.gz"
            if not label.is_file():
                voxels, image = read_voxels(str(scan.label))
                values = integer_labels(voxels, label)
                write_nifti(label, np.where(values == numbers[0], 0, values).astype(np.uint8), image.affine)
            items.append(_item(scan) | {"label": f"labels/{label.name}"})
            if arm == "marginal":
                items[-1]["annotated_classes"] = others
    held_out = [_item(scan) for scan in cohort.labelled("test")[:test]]
    write_datalist(target, name=cohort.name, labels=cohort.labels, splits={"training": items, "test": held_out})


def train(cohort: Path, output: Path, seed: int, max_iterations: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Trains and evaluates, unless it is done; gives the evaluation's numbers."""
    metrics = output / "evaluation" / "metrics.json"
    if not metrics.is_file():
        training = {
            "dataset_dir": str(cohort),
            "output_dir": str(output),
            "seed": seed,
            "annotator": "datalist",
            "semi_supervised": "none",
            "batch_unlabelled": 0,
            "max_iterations": max_iterations,
            "val_interval": max_iterations,
        }
        run_workflow(BUNDLE, ["train"], settings | training)
        stride = [max(1, side // 2) for side in settings["roi_size"]]
        places = {"dataset_dir": str(cohort), "output_dir": str(output), "stride": stride, "split": "test"}
        run_workflow(BUNDLE, ["evaluate"], settings | places)
    found: dict[str, Any] = read_json(metrics)
    return found


def _item(scan: Scan) -> dict[str, Any]:
    return {"image": str(scan.image.resolve()), "label": str(Path(str(scan.label)).resolve())}


def _words(given: Any) -> list[str]:
    """The parts of what the command line has made of a text with commas."""
    return [str(part) for part in given] if isinstance(given, list | tuple) else str(given).split(",")


def _cell(shares: list[float]) -> str:
    spread = f" ± {100 * np.std(shares):.1f}" if len(shares) > 1 else ""
    return f"{100 * np.mean(shares):.1f}{spread}"


if __name__ == "__main__":
    fire.Fire(main)
