"""Compares ASSFT and plain fine-tuning on left-atrium scans at half resolution, with 4 of 64 scans labelled densely.

The cohort is made by ``python -m common prepare la --source … --target COHORT --spacing 1.25``. Each seed
has a Swin UNETR of its own, pre-trained on phantoms alone. Every run ends with the last iteration's teacher. If the
benchmark is interrupted, the same command resumes it.

    python benchmarks/assft_half.py --dataset_dir COHORT --table FILE
    python benchmarks/assft_half.py --dataset_dir COHORT --schedule long --methods random_plain,random_boxes,assft \\
        --results benchmarks/assft_half/results --table FILE

The tables of FILE are pasted into ``docs/results.md``.
"""

from __future__ import annotations

import os
import statistics
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import fire
from tables import METRICS, cell, mean, words

from common.annotations import Ledger
from common.checks import check_one_of
from common.commands.assft import assft
from common.commands.stages import Steps, run_stage
from common.files import read_json, replacing, write_json
from common.report import read_scores

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {name: read_json(ROOT / "benchmarks/assft_half" / f"{name}.json") for name in ("pretrain", "short", "long")}


class Method(NamedTuple):
    """How a method chooses scans and trains; it is plain fine-tuning unless ``selective``.

    Attributes:
        title: Name in the table's rows.
        column: Name in the table's columns.
        query: Name of the query strategy.
        budget: Number of scans to label.
        asking: Further settings of the bundle's `query.json`.
        selective: Whether fine-tuning is ASSFT's selective semi-supervised one.
        training: Further settings of the bundle's `train.json`.
    """

    title: str
    column: str
    query: str
    budget: int = 4
    asking: dict[str, Any] | None = None
    selective: bool = False
    training: dict[str, Any] | None = None


BOXES = {"train#mix#batch_labelled": 1}
"""Makes the two annotated patches of a batch exchange a box, as an annotated and a reliable one do in ASSFT."""

METHODS = {
    "random_plain": Method("4 scans at random, plain fine-tuning", "random + plain", "random"),
    "random_boxes": Method(
        "4 scans at random, fine-tuning on patches that exchange boxes", "random + boxes", "random", training=BOXES
    ),
    "top_plain": Method(
        "4 scans with the highest scores of ASSFT's query, plain fine-tuning",
        "highest scores + plain",
        "assft",
        asking={"shortlist": 0},
    ),
    "assft_plain": Method("4 scans by ASSFT's query, plain fine-tuning", "query + plain", "assft"),
    "assft": Method(
        "ASSFT: 4 scans by its query, selective semi-supervised fine-tuning", "ASSFT", "assft", selective=True
    ),
    "all_plain": Method("All 64 scans, plain fine-tuning", "all 64 + plain", "random", budget=64),
}
BY_DEFAULT = [name for name, method in METHODS.items() if method.training is None]
SCHEDULES = ("short", "long")
ONE_PIECE = (
    "Since the left atrium is one piece, only the largest component of all predictions and pseudo-labels is kept."
)
PRETRAINED = "pretrained"
ABOUT = """Scans of 1.25 mm; the pool is the first 64 of the
benchmark's list, the results are for its last 16, with the last iteration's teacher. For each seed a small Swin UNETR
is pre-trained on phantoms of the source domain, and shared by the methods. All of them see two patches of labelled
scans per iteration and vary their intensities. From its first round on, after {first} iterations, ASSFT also sees two
patches of reliable scans, labelled by its teacher at the last round, each of which exchanges a box with a labelled one.
Where the table says so, fine-tuning on labelled scans alone exchanges boxes too, between its two patches.{anatomy}
Settings are in the files of `benchmarks/assft_half/`, here with `{schedule}.json`, and otherwise the bundle's own. With
plain fine-tuning there are {draws} draws of random scans per seed, since each gives another result. Mean and standard
deviation over the runs."""
ABOUT_POOL = """The same networks on those scans of the pool that none of a seed's runs had a label of. ASSFT has learnt
from their images: this shows how well a method labels the rest of its own cohort, not other scans."""


class Run(NamedTuple):
    """One run of a table."""

    schedule: str
    method: str
    seed: int
    draw: int = 0

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"{self.schedule}/{self.method}_{self.seed}" + (f"_{self.draw}" if self.draw else "")

    @property
    def result(self) -> str:
        """Name of the file with its metrics."""
        return f"{self.name}.json"

    @property
    def pool(self) -> str:
        """Name of the file with its metrics for each scan of the pool that it had no label of."""
        return f"{self.name}_pool.csv"

    def is_in(self, results: Path) -> bool:
        """Whether both files are in a folder of results."""
        return (results / self.result).exists() and (results / self.pool).exists()


def main(
    dataset_dir: str,
    output_dir: str = "runs/assft_half",
    schedule: str = "short",
    methods: str = ",".join(BY_DEFAULT),
    seeds: str = "0,1,2",
    draws: int = 2,
    jobs: int = 2,
    results: str | None = None,
    table: str | None = None,
) -> None:
    """Runs what has not been run yet, prints the table, and writes it to a Markdown file.

    Args:
        dataset_dir: Folder of the cohort.
        output_dir: Folder of the pre-trained networks, the queries' assessments, and a folder for each run.
        schedule: ``short``, 400 iterations, or ``long``, the bundle's own 2,000.
        methods: Methods to compare, comma-separated, of ``METHODS``.
        seeds: Seeds of the runs, comma-separated.
        draws: Number of draws of random scans per seed, for `random_plain`.
        jobs: Number of runs at a time, with one thread each.
        results: Folder of the runs' metrics, two files for each run; a run that has both is skipped. By default a
            folder in `output_dir`.
        table: Markdown file to write; by default none.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    cohort, folder = Path(dataset_dir).resolve(), Path(output_dir).resolve()
    kept = Path(results).resolve() if results else folder / "results"
    numbers, chosen = [int(seed) for seed in words(seeds)], words(methods)
    check_one_of("schedule", schedule, SCHEDULES)
    for method in chosen:
        check_one_of("methods", method, METHODS)
    runs = [
        Run(schedule, method, seed, draw)
        for draw in range(draws)
        for method in (PRETRAINED, *chosen)
        for seed in numbers
        if draw == 0 or method == "random_plain"
    ]
    missing = [run for run in runs if not run.is_in(kept)]
    with ThreadPoolExecutor(jobs) as workers:
        list(workers.map(lambda seed: _pretrain(folder, seed), dict.fromkeys(run.seed for run in missing)))
        list(workers.map(lambda run: _make(run, cohort, folder, kept), missing))
    text = _table(kept, runs, schedule, chosen, numbers, draws)
    print(text)
    if table:
        Path(table).write_text(text)


def _pretrain(folder: Path, seed: int) -> None:
    output = _network(folder, seed).parent
    settings = {"seed": seed} | SETTINGS["pretrain"]
    run_stage(Steps(output / "progress.json"), "assft_adapt", "pretrain", output, settings, "pre-training")


def _network(folder: Path, seed: int) -> Path:
    return folder / f"{PRETRAINED}_{seed}" / "pretrained.pt"


def _make(run: Run, cohort: Path, folder: Path, kept: Path) -> None:
    """Makes a run, and copies its metrics to the folder of results."""
    output = folder / run.name
    if run.method == PRETRAINED:
        checkpoint, labelled = _network(folder, run.seed), []
        _evaluate(run, cohort, output, checkpoint, "validation")
    else:
        _adapt(run, cohort, folder)
        checkpoint, labelled = output / "model.pt", Ledger(output / "ledger.json").labelled
    _evaluate(run, cohort, output / "pool", checkpoint, "training")
    with (output / "pool/evaluation/metrics.csv").open() as file, replacing(kept / run.pool) as temporary:
        temporary.write_text("".join(line for line in file if line.split(",")[0] not in labelled))
    write_json(kept / run.result, read_json(output / "evaluation/metrics.json"))


def _evaluate(run: Run, cohort: Path, output: Path, checkpoint: Path, split: str) -> None:
    """Evaluates a network on one split."""
    settings = {"dataset_dir": str(cohort), "checkpoint": str(checkpoint), "split": split}
    settings |= SETTINGS[run.schedule]
    steps = Steps(output / "progress.json")
    run_stage(steps, "assft_adapt", "evaluate", output, settings, f"{run.name} on the {split} split")


def _adapt(run: Run, cohort: Path, folder: Path) -> None:
    """Runs a method: query, fine-tuning and evaluation."""
    how = METHODS[run.method]
    assft(
        cohort,
        folder / run.name,
        pretrained=_network(folder, run.seed),
        budget=how.budget,
        query=how.query,
        selective=how.selective,
        seed=run.seed + 100 * run.draw,
        # All methods with the same query share one pass over the pool.
        querying={"pool#folder": str(folder / f"{how.query}_query_{run.seed}")} | (how.asking or {}),
        train=SETTINGS[run.schedule] | (how.training or {}),
    )


Results = dict[Run, dict[str, float]]


def _table(kept: Path, runs: list[Run], schedule: str, methods: list[str], seeds: list[int], draws: int) -> str:
    results = {run: _means(kept / run.result) for run in runs}
    in_pool: Results = {}
    for seed in seeds:
        in_pool |= _in_pool(kept, [run for run in runs if run.seed == seed])
    settings = read_json(ROOT / "bundles/assft_adapt/configs/train.json") | SETTINGS[schedule]
    one_piece = settings["largest_volumes"] is not None
    about = ABOUT.format(
        draws=draws,
        schedule=schedule,
        first=settings["first_round"],
        anatomy=f" {ONE_PIECE}" if one_piece else "",
    )
    command = f"--schedule {schedule} --seeds {','.join(map(str, seeds))} --draws {draws}"
    if methods != BY_DEFAULT:
        command += f" --methods {','.join(methods)}"
    if kept.is_relative_to(ROOT / "benchmarks"):
        command += f" --results {kept.relative_to(ROOT)}"
    lines = [
        f"# ASSFT on the left atrium at half resolution, {settings['max_iterations']} iterations",
        "",
        f"    python benchmarks/assft_half.py --dataset_dir COHORT {command}",
        "",
        textwrap.fill(
            f"{date.today().isoformat()}, CPU, one thread per run, "
            f"{settings['max_iterations']} iterations of fine-tuning. {about}",
            width=120,
        ),
        "",
        *_by_method(results, methods),
        "",
        *_by_seed(results, methods, seeds),
        "",
        ABOUT_POOL,
        "",
        *_by_method(in_pool, methods),
        "",
        *_by_seed(in_pool, methods, seeds),
        "",
    ]
    return "\n".join(lines)


def _means(path: Path) -> dict[str, float]:
    result = read_json(path)
    return {metric: mean(result, metric) for metric in METRICS}


def _in_pool(kept: Path, runs: list[Run]) -> Results:
    """Metrics of one seed's runs on the scans of the pool that none had a label of, except for runs that had all."""
    scores = {run: {score.scan: score.values for score in read_scores(kept / run.pool)} for run in runs}
    scores = {run: by_scan for run, by_scan in scores.items() if by_scan}
    scans = sorted(set.intersection(*map(set, scores.values()))) if scores else []
    return {
        run: {metric: statistics.mean(by_scan[scan][metric] for scan in scans) for metric in METRICS}
        for run, by_scan in scores.items()
    }


def _by_method(results: Results, methods: list[str]) -> list[str]:
    lines = ["| method | " + " | ".join(METRICS.values()) + " | runs |", "|---|" + "---|" * (len(METRICS) + 1)]
    for method in (PRETRAINED, *methods):
        title = METHODS[method].title if method in METHODS else "Pre-trained on phantoms, no label"
        runs = [result for run, result in results.items() if run.method == method]
        cells = [cell([result[metric] for result in runs], metric) for metric in METRICS]
        lines.append(f"| {title} | " + " | ".join(cells) + f" | {len(runs)} |")
    return lines


def _by_seed(results: Results, methods: list[str], seeds: list[int]) -> list[str]:
    names = [METHODS[method].column for method in methods]
    lines = [f"| seed | {' | '.join(f'Dice, {name} [%]' for name in names)} |", "|---" * (len(names) + 1) + "|"]
    for seed in seeds:
        dice = [
            [100 * result["dice"] for run, result in results.items() if (run.method, run.seed) == (method, seed)]
            for method in methods
        ]
        lines.append(f"| {seed} | " + " | ".join(map(_each, dice)) + " |")
    return lines


def _each(numbers: list[float]) -> str:
    """A mean, and in brackets the numbers that it is the mean of."""
    if not numbers:
        return "–"
    mean_of_all = f"{sum(numbers) / len(numbers):.1f}"
    return mean_of_all if len(numbers) == 1 else f"{mean_of_all} ({', '.join(f'{number:.1f}' for number in numbers)})"


if __name__ == "__main__":
    fire.Fire(main)
