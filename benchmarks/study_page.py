"""Tables and the plot of a study's results."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from study_file import Evaluation, Study
from study_run import Result
from study_settings import settings_table

from common.metrics import holm, signed_rank_p

RESAMPLES = 10_000
METRICS = {"dice": ("Dice [%]", 100.0), "hd95_voxel": ("95HD [voxel]", 1.0)}


def by_scan(results: Sequence[Result], metric: str) -> NDArray[np.float64]:
    """A metric by seed and scan `[seeds, scans]`, scans in the order of their names.

    It is the mean over the classes for which it is known; NaN if there is none.
    """
    return np.array(
        [
            [_mean([values[metric] for values in result.scores[scan].values()]) for scan in sorted(result.scores)]
            for result in results
        ]
    )


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def interval(values: NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a mean over seeds and scans, both of which are drawn anew.

    Args:
        values: A number for each seed and scan, `[seeds, scans]`.
        resamples: Number of draws.
        seed: Seed of the draws.
    """
    random = np.random.default_rng(seed)
    seeds = random.integers(values.shape[0], size=(resamples, values.shape[0]))
    scans = random.integers(values.shape[1], size=(resamples, values.shape[1]))
    means = np.array([np.nanmean(values[np.ix_(rows, columns)]) for rows, columns in zip(seeds, scans, strict=True)])
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def markdown(study: Study, results: Mapping[str, Sequence[Result]], *, evaluation: Evaluation, command: str) -> str:
    """The study's tables.

    Args:
        study: The study.
        results: Results of each method, one per seed, all on the same scans.
        evaluation: How all of them were evaluated.
        command: The command that made them.
    """
    shown = {name: found for name, found in results.items() if found}
    lines = [f"## {study.title}", "", f"    {study.prepare}", f"    {command}", "", study.about, ""]
    lines += [*_scores(study, shown), "", *_classes(study, shown), "", *_tests(study, shown)]
    if len(fmabs := [name for name in shown if study.methods[name].kind == "fmabs_la"]) > 1:
        lines += ["", *settings_table(study, fmabs)]
    dates = sorted({result.made for found in shown.values() for result in found})
    scans = len(next(iter(shown.values()))[0].scores)
    lines += [
        "",
        f"Results are for the {scans} scans of the {evaluation.part} part, by the last iteration's network; runs of "
        f"{' to '.join(dict.fromkeys((dates[0], dates[-1])))}, one CPU thread each. Brackets: 95 % bootstrap interval "
        f"over scans and seeds. A person is assumed to annotate a slice in {study.seconds_per_slice:g} seconds.",
    ]
    if evaluation.largest_volumes is not None:
        lines[-1] += f" Components of each class that predictions keep, largest first: {evaluation.largest_volumes}."
    if missed := _missed(study, shown):
        lines[-1] += f" Distances are without classes of which nothing was found: {missed}."
    return "\n".join([*lines, ""])


def _missed(study: Study, results: Mapping[str, Sequence[Result]]) -> str:
    """The methods that found nothing of a class somewhere, and how often; empty if there are none."""
    found = []
    for name, runs in results.items():
        distances = [values["hd95_voxel"] for run in runs for scan in run.scores.values() for values in scan.values()]
        if number := sum(map(math.isnan, distances)):
            found.append(f"{study.methods[name].title} ({number} of {len(distances)})")
    return ", ".join(found)


def _scores(study: Study, results: Mapping[str, Sequence[Result]]) -> list[str]:
    titles = [title for title, _ in METRICS.values()]
    lines = [
        "| method | " + " | ".join(titles) + " | seeds | annotated scans | slices | person | CPU | memory |",
        "|---" * (len(titles) + 7) + "|",
    ]
    for name, found in results.items():
        cells = []
        for metric, (_, factor) in METRICS.items():
            values = by_scan(found, metric)
            low, high = interval(values)
            cells.append(f"{factor * np.nanmean(values):.1f} [{factor * low:.1f}, {factor * high:.1f}]")
        cost = [np.mean([getattr(result.cost, what) for result in found]) for what in ("scans", "slices")]
        cells += [str(len(found)), f"{cost[0]:.0f}", f"{cost[1]:.0f}", f"{minutes(study, found):.0f} min"]
        cells.append(f"{np.mean([result.seconds for result in found]) / 60:.0f} min")
        cells.append(f"{max(result.memory for result in found) / 1e9:.1f} GB")
        lines.append(f"| {study.methods[name].title} | " + " | ".join(cells) + " |")
    return lines


def _classes(study: Study, results: Mapping[str, Sequence[Result]]) -> list[str]:
    """Mean Dice of each class, and of each seed."""
    classes = list(next(iter(next(iter(results.values()))[0].scores.values())))
    lines = ["| method | " + " | ".join(f"Dice, {name} [%]" for name in classes) + " | by seed, all classes [%] |"]
    lines.append("|---" * (len(classes) + 2) + "|")
    for name, found in results.items():
        cells = [
            f"{100 * np.nanmean([values[label]['dice'] for result in found for values in result.scores.values()]):.1f}"
            for label in classes
        ]
        seeds = " ".join(f"{100 * value:.1f}" for value in np.nanmean(by_scan(found, "dice"), axis=1))
        lines.append(f"| {study.methods[name].title} | " + " | ".join(cells) + f" | {seeds} |")
    return lines


def _tests(study: Study, results: Mapping[str, Sequence[Result]]) -> list[str]:
    """Each method against the one with the best mean Dice: paired by scan, after the mean over the seeds."""
    means = {name: np.nanmean(by_scan(found, "dice"), axis=0) for name, found in results.items()}
    best = max(means, key=lambda name: float(means[name].mean()))
    others = [name for name in means if name != best]
    p_values = holm([signed_rank_p(means[best] - means[name]) for name in others])
    lines = [f"| {study.methods[best].title}, against | difference in Dice [%] | p (Holm) |", "|---|---|---|"]
    for name, p_value in zip(others, p_values, strict=True):
        difference = 100 * (means[best] - means[name])
        low, high = interval(difference[None])
        cells = f"{difference.mean():.1f} [{low:.1f}, {high:.1f}] | {p_value:.2g}"
        lines.append(f"| {study.methods[name].title} | {cells} |")
    return lines


def minutes(study: Study, results: Sequence[Result]) -> float:
    """Minutes in which a person is assumed to annotate what a run has learnt from; the mean over the seeds."""
    return float(np.mean([result.cost.slices for result in results])) * study.seconds_per_slice / 60


def plot(study: Study, results: Mapping[str, Sequence[Result]], path: Path) -> None:
    """Writes a plot of Dice against the cost of annotation; a band from the worst to the best seed."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    markers = itertools.cycle("osD^vPX*<>")
    colours = itertools.cycle(plt.get_cmap("tab10").colors)
    for (name, found), marker, colour in zip(results.items(), markers, colours, strict=False):
        if not found:
            continue
        seeds = 100 * np.nanmean(by_scan(found, "dice"), axis=1)
        mean = seeds.mean()
        errors = [[mean - seeds.min()], [seeds.max() - mean]]
        place = max(minutes(study, found), 1)
        axes.errorbar(place, mean, errors, marker=marker, color=colour, capsize=4, label=study.methods[name].title)
    axes.set_xscale("log")
    axes.set_xlabel(f"annotation by a person [min], {study.seconds_per_slice:g} s per slice")
    axes.set_ylabel("Dice [%], mean of the classes")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=110)
    plt.close(figure)
