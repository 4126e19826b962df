"""Compares SFR and its baselines on left-atrium scans at half resolution with one and four densely labelled scans.

The cohort is made by ``python -m common prepare la --source … --target COHORT --spacing 1.25``.
Supervised training, the mean teacher and the second stages of SFR and SFR+ run the same bundle, ``sfr_retrain``, for
equally many iterations; every run ends with the last iteration's teacher. If the benchmark is interrupted, the same
command resumes it.

    python benchmarks/sfr_half.py --dataset_dir COHORT --table FILE

The tables of FILE are pasted into ``docs/results.md``.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import fire
from confidence import score, summary
from tables import METRICS, cell, mean, words

from common.commands.sfr import sfr
from common.commands.stages import run_bundle
from common.files import read_json

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("finetune", "pseudo_label", "retrain")
SETTINGS = {name: read_json(ROOT / "benchmarks/sfr_half" / f"{name}.json") for name in STAGES}
METHODS = {"supervised": "Supervised", "mean_teacher": "Mean teacher", "sfr": "SFR", "sfr_plus": "SFR+"}
ABOUT = """Scans of 1.25 mm, the first 64 of the benchmark's list: the
first one or four are labelled densely, the others are unlabelled. Results are for the last 16, with the last
iteration's teacher; mean, and standard deviation over the seeds if there are several. All settings are in
`benchmarks/sfr_half/`. No public weights are used: a small SAM is trained from scratch, and the embedded generalist,
prompted by its labels, refines them (`refine`).

The small SAM's learning rate and augmentation, the refinement, and its part in the confidence were chosen with seed 0,
on pseudo-labels of training scans and having seen the small SAM's own Dice on the last 16. The methods that are
compared share everything else."""
THRESHOLD = 0.7
"""Confidence below which SFR+ leaves voxels out."""


def main(
    dataset_dir: str,
    output_dir: str = "runs/sfr_half",
    labelled: str = "1,4",
    seeds: str = "0,1",
    jobs: int = 2,
    table: str | None = None,
) -> None:
    """Runs what has not been run yet, prints the table, and writes it to a Markdown file.

    Args:
        dataset_dir: Folder of the cohort.
        output_dir: Folder that gets a folder for each method, number of labelled scans and seed.
        labelled: Numbers of labelled scans, comma-separated.
        seeds: Seeds of the runs, comma-separated.
        jobs: Number of combinations of labelled scans and seed at a time, with one thread each.
        table: Markdown file to write; by default none.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    settings = [(number, seed) for seed in map(int, words(seeds)) for number in map(int, words(labelled))]
    cohort, folder = Path(dataset_dir).resolve(), Path(output_dir).resolve()
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda it: _run(cohort, folder, *it), settings))
    text = _table(cohort, folder, settings)
    print(text)
    if table:
        Path(table).write_text(text)


def _run(cohort: Path, folder: Path, labelled: int, seed: int) -> None:
    """Runs all methods with one number of labelled scans and one seed."""
    name = f"{labelled}_{seed}"
    shared: dict[str, Any] = {"labelled": labelled, "seed": seed, "threshold": THRESHOLD, **SETTINGS}
    plain, plus = folder / f"sfr_{name}", folder / f"sfr_plus_{name}"
    for method, companion in (("supervised", "none"), ("mean_teacher", "mean_teacher")):
        _baseline(cohort, folder / f"{method}_{name}", companion, labelled, seed)
    sfr(cohort, plain, **shared)
    sfr(cohort, plus, plus=True, finetuned=plain / "finetune", **shared)


def _baseline(cohort: Path, output: Path, companion: str, labelled: int, seed: int) -> None:
    if (output / "evaluation" / "metrics.json").exists():
        return
    batch = {"batch_unlabelled": 0} if companion == "none" else {}
    training = SETTINGS["retrain"] | batch | {"semi_supervised": companion, "labelled": labelled, "seed": seed}
    for stage in ("train", "evaluate"):
        run_bundle("sfr_retrain", stage, output, training | {"dataset_dir": str(cohort)})


def _table(cohort: Path, folder: Path, settings: list[tuple[int, int]]) -> str:
    lines = [
        "# SFR on the left atrium at half resolution",
        "",
        "    python benchmarks/sfr_half.py --dataset_dir COHORT "
        f"--labelled {_list(settings, 0)} --seeds {_list(settings, 1)}",
        "",
        f"{date.today().isoformat()}, CPU, one thread per run. {ABOUT}",
        "",
        "| labelled scans | method | " + " | ".join(METRICS.values()) + " | seeds |",
        "|---|---|" + "---|" * (len(METRICS) + 1),
    ]
    for number in sorted({number for number, _ in settings}):
        seeds = [seed for other, seed in settings if other == number]
        for method, title in METHODS.items():
            runs = [folder / f"{method}_{number}_{seed}" for seed in seeds]
            paths = [run / sub / "evaluation/metrics.json" for run in runs for sub in (".", "retrain")]
            found = [read_json(path) for path in paths if path.exists()]
            cells = [cell([mean(result, metric) for result in found], metric) for metric in METRICS]
            lines.append(f"| {number} | {title} | " + " | ".join(cells) + f" | {len(found)} |")
    lines += ["", "| labelled scans | seed | Dice of the pseudo-labels [%] | voxels labelled [%] | Spearman's ρ |"]
    lines += ["|---|---|---|---|---|"]
    for number, seed in settings:
        labels = folder / f"sfr_{number}_{seed}" / "finetune" / "pseudo_labels"
        if (labels / "pseudo_labels.json").exists():
            dice, kept, rank = summary(score(cohort, labels))
            lines.append(f"| {number} | {seed} | {100 * dice:.1f} | {100 * kept:.0f} | {rank:.2f} |")
    about_rank = "ρ is the rank correlation between a scan's confidence and the true Dice of its pseudo-label."
    return "\n".join([*lines, "", about_rank, ""])


def _list(settings: list[tuple[int, int]], place: int) -> str:
    return ",".join(str(value) for value in sorted({setting[place] for setting in settings}))


if __name__ == "__main__":
    fire.Fire(main)
