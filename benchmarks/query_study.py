"""Compares query strategies over seeds and budgets: which scans are worth labelling for a pre-trained network.

Every run uses the bundle ``assft_adapt``: a query of as many scans as the budget, plain fine-tuning on them alone, and
evaluation on held-out scans with the last iteration's teacher. Runs with one seed share a pre-trained network. If no
cohort is given, phantoms of the target domain are made. Networks are pre-trained on phantoms of the source domain. If
the study is interrupted, the same command resumes it.

    python benchmarks/query_study.py --output_dir RUNS --table FILE --plot docs/query_study.png

The tables of FILE are pasted into ``docs/results.md``.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import fire
import matplotlib.pyplot as plt
from query_comparison import areas, curve, wins
from tables import words

from common.annotations import Ledger
from common.cohort import Cohort, read_labels_ras
from common.commands.bundles import find_bundle, known_settings, run_workflow
from common.files import claim, read_json
from common.prepare import write_phantom
from common.query import STRATEGIES

HERE = Path(__file__).resolve().parent
BUNDLE = "assft_adapt"
ALL = tuple(STRATEGIES)
PRETRAIN = read_json(HERE / "query_study/pretrain.json")
TRAIN = str(HERE / "query_study/train.json")


@dataclass(frozen=True)
class Study:
    """The settings that all runs share.

    Attributes:
        cohort: Folder of the cohort.
        folder: Folder of all runs.
        pretrained: File of the network's weights; None to pre-train a network for each seed.
        pretrain: Settings of the bundle's `pretrain.json`.
        train: Settings of its `train.json`, of which other stages take those that they know.
    """

    cohort: Path
    folder: Path
    pretrained: str | None
    pretrain: Mapping[str, Any]
    train: Mapping[str, Any]

    def network(self, seed: int) -> str:
        """File of the network that a seed's runs start from."""
        return self.pretrained or str(self.folder / f"pretrained_{seed}" / "pretrained.pt")

    def run_folder(self, strategy: str, budget: int, seed: int) -> Path:
        return self.folder / f"{strategy}_{budget}_{seed}"


def main(
    output_dir: str = "runs/query_study",
    dataset_dir: str | None = None,
    pretrained: str | None = None,
    strategies: str = ",".join(ALL),
    budgets: str = "2,4,8",
    seeds: str = "0,1,2",
    settings: str = TRAIN,
    jobs: int = 2,
    table: str | None = None,
    plot: str | None = None,
) -> None:
    """Runs what has not been run yet, prints the tables, and writes them and a plot to files.

    Args:
        output_dir: Folder that gets a folder STRATEGY_BUDGET_SEED for each run.
        dataset_dir: Folder of a cohort with labels of all scans; by default 48 phantoms in the pool and 12 for testing.
        pretrained: File of the network's weights; by default one is pre-trained on phantoms for each seed.
        strategies: Strategies, comma-separated, of those in ``common.query.STRATEGIES``.
        budgets: Numbers of scans to label, comma-separated.
        seeds: Seeds of the runs, comma-separated.
        settings: JSON file with settings for the bundle's train.json.
        jobs: Number of runs at a time, with one thread each.
        table: Markdown file to write; by default none.
        plot: Image file to write; by default none.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    chosen = words(strategies)
    if unknown := [name for name in chosen if name not in ALL]:
        raise ValueError(f"strategies must be among {', '.join(ALL)}, got {', '.join(unknown)}.")
    amounts, numbers = sorted(int(budget) for budget in words(budgets)), [int(seed) for seed in words(seeds)]
    folder = Path(output_dir).resolve()
    cohort = Path(dataset_dir).resolve() if dataset_dir else folder / "cohort"
    given = read_json(settings)
    claim(folder, {"cohort": str(cohort), "pretrained": pretrained, "pretrain": PRETRAIN, "train": given})
    if dataset_dir is None:
        write_phantom(cohort, scans=60, size=48, seed=0, validation=0, test=12)
    study = Study(cohort, folder, pretrained, PRETRAIN, given)
    runs = [(strategy, budget, seed) for seed in numbers for budget in amounts for strategy in chosen]
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        if pretrained is None:
            list(pool.map(partial(_pretrain, study), numbers))
        list(pool.map(partial(_run, study), runs))
    others = {"dataset_dir": dataset_dir, "pretrained": pretrained, "settings": None if settings == TRAIN else settings}
    text = _tables(study, chosen, amounts, numbers, "".join(f" --{name} {it}" for name, it in others.items() if it))
    print(text)
    if plot:
        _plot(_scores(study, runs), Path(plot))
        text += f"\n![Dice against the number of labelled scans, a panel for each strategy]({Path(plot).name})\n"
    if table:
        Path(table).write_text(text)


def _pretrain(study: Study, seed: int) -> None:
    folder = study.folder / f"pretrained_{seed}"
    if not (folder / "done.json").exists():
        _stage("pretrain", folder, known_settings(BUNDLE, "query", study.train) | study.pretrain | {"seed": seed})
        (folder / "done.json").write_text("{}")


def _run(study: Study, run: tuple[str, int, int]) -> None:
    strategy, budget, seed = run
    folder = study.run_folder(*run)
    if (folder / "evaluation" / "metrics.json").exists():
        return
    shared = {"dataset_dir": str(study.cohort), "pretrained": study.network(seed)}
    shared |= {"budget": budget, "query": strategy, "seed": seed}
    # Without its shortlist, ASSFT chooses by its scores alone, as the other strategies do.
    _stage("query", folder, shared | {"shortlist": 0} | known_settings(BUNDLE, "query", study.train))
    _stage("train", folder, shared | study.train)
    _stage("evaluate", folder, {"dataset_dir": str(study.cohort)} | study.train)


def _stage(config: str, folder: Path, settings: Mapping[str, Any]) -> None:
    """Runs one stage of the bundle in this process, with its output in a file."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.txt").open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        run_workflow(find_bundle(BUNDLE), [config], {**settings, "output_dir": str(folder)})


def _scores(study: Study, runs: list[tuple[str, int, int]]) -> dict[str, dict[tuple[int, int], float]]:
    """Mean Dice by strategy, then by seed and budget."""
    scores: dict[str, dict[tuple[int, int], float]] = {}
    for strategy, budget, seed in runs:
        metrics = read_json(study.run_folder(strategy, budget, seed) / "evaluation" / "metrics.json")
        scores.setdefault(strategy, {})[seed, budget] = metrics["mean"]["dice"]["mean"]
    return scores


def _costs(study: Study, runs: list[tuple[str, int, int]]) -> dict[str, tuple[float, float]]:
    """Mean numbers of axial slices with foreground and of foreground voxels per queried scan, by strategy."""
    labels = {scan.id: scan.label for scan in Cohort.open(study.cohort).training}
    sizes: dict[str, tuple[int, int]] = {}
    found: dict[str, list[tuple[int, int]]] = {}
    for run in runs:
        for scan in Ledger(study.run_folder(*run) / "ledger.json").labelled:
            if scan not in sizes:
                foreground = read_labels_ras(labels[scan])[0] > 0
                sizes[scan] = int(foreground.any(axis=(0, 1)).sum()), int(foreground.sum())
            found.setdefault(run[0], []).append(sizes[scan])
    return {name: tuple(statistics.mean(values) for values in zip(*cost, strict=True)) for name, cost in found.items()}


def _tables(study: Study, strategies: list[str], budgets: list[int], seeds: list[int], others: str) -> str:
    runs = [(strategy, budget, seed) for strategy in strategies for budget in budgets for seed in seeds]
    scores, costs = _scores(study, runs), _costs(study, runs)
    cohort = Cohort.open(study.cohort)
    ranked = sorted(scores, key=lambda name: -statistics.mean(areas(scores[name])))
    what = (
        "" if cohort.name != "phantom" else " The scans are made up; only real scans can tell what holds for patients."
    )
    lines = [
        "# Query strategies",
        "",
        f"    python benchmarks/query_study.py --budgets {','.join(map(str, budgets))} "
        f"--seeds {','.join(map(str, seeds))} --strategies {','.join(strategies)}{others}",
        "",
        f"{date.today().isoformat()}, CPU, one thread per run. Cohort {cohort.name}: {len(cohort.training)} scans in "
        f"the pool, {len(cohort.test or cohort.validation)} held out.{what} Plain fine-tuning of one pre-trained "
        f"network{'' if study.pretrained else ' per seed'}, on the queried scans alone; Dice of the last iteration's "
        "teacher in per cent, mean and standard deviation over the seeds. `assft` picks by its scores alone here "
        "(shortlist 0). The area is the mean height of Dice over the logarithm of the budget.",
        "",
        "| strategy | "
        + " | ".join(f"{budget} scans" for budget in budgets)
        + " | area | slices per scan | foreground voxels per scan |",
        "|---|" + "---|" * (len(budgets) + 3),
    ]
    for name in ranked:
        _, means, spreads = curve(scores[name])
        cells = [f"{100 * mean:.1f} ± {100 * spread:.1f}" for mean, spread in zip(means, spreads, strict=True)]
        slices, voxels = costs[name]
        area = 100 * statistics.mean(areas(scores[name]))
        lines.append(f"| {name} | {' | '.join(cells)} | {area:.1f} | {slices:.1f} | {voxels:,.0f} |")
    lines += [
        "",
        "Share of seeds and budgets, in per cent, at which the row's strategy is better than the column's:",
        "",
    ]
    lines += ["| | " + " | ".join(ranked) + " |", "|---|" + "---|" * len(ranked)]
    shares = wins(scores)
    for name in ranked:
        cells = ["–" if name == other else f"{100 * shares[name, other]:.0f}" for other in ranked]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _plot(scores: Mapping[str, Mapping[tuple[int, int], float]], path: Path) -> None:
    """Plots Dice against budget in a panel for each strategy, with a band of one standard deviation."""
    columns = 5
    rows = -(-len(scores) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2.3 * columns, 2.2 * rows), sharex=True, sharey=True)
    curves = {name: curve(values) for name, values in scores.items()}
    for axis, (name, (budgets, means, spreads)) in zip(axes.flat, curves.items(), strict=False):
        for _, others, _ in curves.values():
            axis.plot(budgets, [100 * value for value in others], color="#b8bec4", linewidth=0.8)
        low, high = ([100 * (mean + sign * s) for mean, s in zip(means, spreads, strict=True)] for sign in (-1, 1))
        axis.fill_between(budgets, low, high, color="#0b63a5", alpha=0.2, linewidth=0, zorder=1)
        axis.plot(budgets, [100 * value for value in means], color="#0b63a5", marker="o", markersize=3)
        axis.set_title(name, fontsize=9)
        axis.set_xscale("log", base=2)
        axis.set_xticks(budgets, [str(budget) for budget in budgets])
        axis.spines[["top", "right"]].set_visible(False)
    for axis in list(axes.flat)[len(curves) :]:
        axis.set_visible(False)
    figure.supxlabel("labelled scans", fontsize=9)
    figure.supylabel("Dice [%]", fontsize=9)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    fire.Fire(main)
