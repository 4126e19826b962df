"""Compares FM-ABS and its baselines on left-atrium scans at half resolution.

The cohort is made by ``python -m common prepare la --source … --target COHORT --spacing 1.25``. The pool is its
training split (64 scans), and results are for its validation split (16 scans), on which no run chooses anything: every
run ends with the last iteration's teacher. Each run is the bundle's own ``train.json`` with files of
``benchmarks/la_half/``: ``base.json`` makes everything small, and the others are what sets the method apart. If the
benchmark is interrupted, the same command resumes it.

    python benchmarks/la_half.py --dataset_dir COHORT --table FILE

The tables of FILE are pasted into ``docs/results.md``.
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import fire

from common.commands.stages import run_bundle
from common.files import read_json

SETTINGS = Path(__file__).resolve().parent / "la_half"
OURS = Path(__file__).resolve().parents[1] / "bundles/fmabs_la/configs/ours.json"
METHODS = {
    "supervised": ("Supervised, 20 cross-labelled scans", "plain random no_pseudo_labels supervised"),
    "mean_teacher": ("Mean teacher, 20 cross-labelled scans", "plain random no_pseudo_labels mean_teacher"),
    "paper_without": ("FM-ABS as in the paper, without the pseudo-labels", "no_pseudo_labels"),
    "paper": ("FM-ABS exactly as in the paper, embedded generalist", ""),
    "paper_lite": ("FM-ABS exactly as in the paper, LiteMedSAM", "lite_medsam"),
    "propagated": ("Ours, 20 scans at random, propagated labels alone", "ours not_augmented random propagated"),
    "ours_random": ("Ours, 20 scans at random", "ours not_augmented random"),
    "ours": ("Ours, 8 scans at random, 12 by HER", "ours not_augmented"),
    "ours_lite": ("Ours, 8 scans at random, 12 by HER, LiteMedSAM", "ours not_augmented lite_medsam"),
    "dense": ("Supervised, 64 dense labels (upper bound)", "plain random no_pseudo_labels supervised dense"),
    "paper_many": ("FM-ABS as in the paper, 13 rounds of pseudo-labels", "many"),
    "paper_late": ("FM-ABS as in the paper, queries and nine rounds of pseudo-labels until the end", "late"),
    "small": ("FM-ABS exactly as in the paper, embedded generalist", "small_pool"),
    "small_lite": ("FM-ABS exactly as in the paper, LiteMedSAM", "small_pool lite_medsam"),
    "small_without": ("FM-ABS as in the paper, without the pseudo-labels", "small_pool no_pseudo_labels"),
    "small_propagated": (
        "Ours, 10 scans at random, propagated labels alone",
        "ours not_augmented small_pool random propagated",
    ),
    "small_ours": (
        "Ours, 4 scans at random, 6 by HER, embedded generalist",
        "ours not_augmented small_pool small_ours",
    ),
}
"""Title of each method, and the files of settings in ``la_half/`` that make it, after ``base.json`` (``ours`` is the
bundle's own overlay)."""
METRICS = {"dice": "Dice [%]", "jaccard": "Jaccard [%]", "hd95_voxel": "95HD [voxel]", "asd_voxel": "ASD [voxel]"}


def main(
    dataset_dir: str,
    output_dir: str = "runs/la_half",
    methods: str = ",".join(list(METHODS)[:10]),
    seeds: str = "0,1",
    jobs: int = 2,
    max_iterations: int = 2000,
    embedding_cache: str | None = None,
    table: str | None = None,
) -> None:
    """Runs what has not been run yet, prints the table, and writes it to a Markdown file.

    Args:
        dataset_dir: Folder of the cohort.
        output_dir: Folder that gets a folder METHOD_SEED for each run.
        methods: Methods to compare, comma-separated, of those in ``METHODS``.
        seeds: Seeds of the runs, comma-separated.
        jobs: Number of runs at a time, with one thread each.
        max_iterations: Number of iterations of each run.
        embedding_cache: Folder in which runs with LiteMedSAM share its image embeddings; by default none are kept.
        table: Markdown file to write; by default none.
    """
    chosen = words(methods)
    if unknown := [method for method in chosen if method not in METHODS]:
        raise ValueError(f"methods must be among {', '.join(METHODS)}, got {', '.join(unknown)}.")
    numbers = [int(seed) for seed in words(seeds)]
    runs = [(method, seed) for seed in numbers for method in chosen]
    with ThreadPoolExecutor(jobs) as pool:
        list(
            pool.map(lambda run: _run(Path(dataset_dir), Path(output_dir), *run, max_iterations, embedding_cache), runs)
        )
    text = _table(Path(output_dir), chosen, numbers, max_iterations)
    print(text)
    if table:
        Path(table).parent.mkdir(parents=True, exist_ok=True)
        Path(table).write_text(text)


def words(text: object) -> list[str]:
    """The entries of a comma-separated argument, which Fire may have split already."""
    return [str(word).strip() for word in (text if isinstance(text, (list, tuple)) else str(text).split(","))]


def _run(
    dataset_dir: Path, output_dir: Path, method: str, seed: int, max_iterations: int, embedding_cache: str | None
) -> None:
    folder = output_dir.resolve() / f"{method}_{seed}"
    if (folder / "evaluation" / "metrics.json").exists():
        return
    settings = read_json(SETTINGS / "base.json")
    for name in METHODS[method][1].split():
        settings |= read_json(OURS if name == "ours" else SETTINGS / f"{name}.json")
    if embedding_cache and settings.get("generalist", "embedded") != "embedded":
        settings["embedding_cache"] = str(Path(embedding_cache).resolve())
    settings |= {"dataset_dir": str(dataset_dir.resolve()), "seed": seed, "max_iterations": max_iterations}
    start = time.time()
    run_bundle("fmabs_la", "train", folder, settings, threads=1)
    with (folder / "seconds.txt").open("a") as file:
        file.write(f"{time.time() - start:.0f}\n")
    run_bundle("fmabs_la", "evaluate", folder, settings | {"split": "validation"}, threads=1)


def _table(output_dir: Path, methods: list[str], seeds: list[int], max_iterations: int) -> str:
    lines = [
        "# Left atrium at half resolution",
        "",
        f"    python benchmarks/la_half.py --dataset_dir COHORT --seeds {','.join(map(str, seeds))} "
        f"--methods {','.join(methods)}",
        "",
        f"{date.today().isoformat()}, CPU, one thread and {max_iterations} iterations per run, made by",
        "`benchmarks/la_half/` as said in `METHODS` of the script.",
        "",
        "| method | " + " | ".join(METRICS.values()) + " | seeds |",
        "|---|" + "---|" * (len(METRICS) + 1),
    ]
    for method in methods:
        paths = [output_dir / f"{method}_{seed}" / "evaluation" / "metrics.json" for seed in seeds]
        results = [read_json(path) for path in paths if path.exists()]
        cells = [cell([mean(result, metric) for result in results], metric) for metric in METRICS]
        lines.append(f"| {METHODS[method][0]} | " + " | ".join(cells) + f" | {len(results)} |")
    return "\n".join([*lines, ""])


def mean(result: dict, metric: str) -> float:
    """A metric's mean over scans and classes, from the content of a metrics.json."""
    return result["mean"][metric]["mean"]


def cell(numbers: list[float], metric: str) -> str:
    """Mean and standard deviation over the seeds as a table's cell, in per cent for overlaps."""
    if not numbers:
        return "–"
    factor = 100 if metric in ("dice", "jaccard") else 1
    mean = f"{factor * statistics.mean(numbers):.1f}"
    return f"{mean} ± {factor * statistics.stdev(numbers):.1f}" if len(numbers) > 1 else mean


if __name__ == "__main__":
    fire.Fire(main)
