"""Figures of how a run learnt and how well its methods score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from common.annotations import LedgerEntry
from common.report.drawing import (
    DASHES,
    MARKERS,
    PAGE,
    STYLE,
    WIDTH,
    Palette,
    canvas,
    clean,
    fit_rows,
    legend,
    name_row,
)

NAMED = 40
"""Largest number of scans whose names are written below their columns."""


@mpl.rc_context(STYLE)
def comparison(scores: Mapping[str, Sequence[float]], palette: Palette = PAGE) -> Figure:
    """Draws the Dice of methods: one dot per scan, and a bar from 0 to the mean.

    Args:
        scores: Dice of each scan (0..1, no NaN) by method.
        palette: Colours of the figure.
    """
    figure, axes = canvas(0.62 * len(scores) + 0.55)
    for row, (title, values) in enumerate(scores.items()):
        colour = palette.series[row % len(palette.series)]
        percent = 100 * np.asarray(values, dtype=float)
        mean = float(percent.mean())
        axes.barh(row, mean, height=0.5, color=colour, alpha=0.22, linewidth=0)
        axes.plot([mean, mean], [row - 0.25, row + 0.25], color=colour, linewidth=3, solid_capstyle="butt")
        spread = 0.16 * np.sin(np.arange(len(percent)) * 2.4)
        marker = MARKERS[row % len(MARKERS)]
        axes.plot(percent, row + spread, marker, color=colour, alpha=0.65, markersize=4.5, markeredgewidth=0)
        axes.text(-1.2, row, title, ha="right", va="center", color=palette.ink, fontsize=10.5)
        axes.text(101.5, row, f"{mean:.1f}", ha="left", va="center", color=palette.ink, fontsize=14)
    clean(axes, palette)
    axes.set(xlim=(0, 100), ylim=(len(scores) - 0.5, -0.5), yticks=[], xticks=range(0, 101, 20))
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("Dice [%], one dot per scan", color=palette.soft)
    axes.grid(axis="x", color=palette.line, linewidth=0.7)
    figure.subplots_adjust(left=0.19, right=0.93, top=0.98, bottom=0.5 / figure.get_figheight())
    return figure


@mpl.rc_context(STYLE)
def paired(scores: Mapping[str, Mapping[str, float]], palette: Palette = PAGE) -> Figure:
    """Draws the Dice of every run on each scan, one column per scan, the worst one first.

    Args:
        scores: Dice (0..1) by scan, of the same scans for each run, by the run's title.
        palette: Colours of the figure.
    """
    runs = [100 * np.array([*found.values()]) for found in scores.values()]
    names = list(next(iter(scores.values())))
    order = np.argsort(np.mean(runs, axis=0), kind="stable")
    named = len(names) <= NAMED
    figure, axes = canvas(3.9 if named else 3.1)
    places = np.arange(len(names))
    axes.vlines(places, np.min(runs, axis=0)[order], np.max(runs, axis=0)[order], color=palette.line, linewidth=2.5)
    for row, (title, values) in enumerate(zip(scores, runs, strict=True)):
        axes.plot(
            places, values[order], MARKERS[row % len(MARKERS)], color=palette.series[row % len(palette.series)],
            markersize=5.5, markeredgewidth=0, alpha=0.85, label=title,
        )  # fmt: skip
    clean(axes, palette)
    lowest = 10 * math.floor(max(0.0, float(np.min(runs)) - 3) / 10)
    axes.set(ylim=(lowest, 100.5), xlim=(-0.6, len(names) - 0.4))
    axes.set_xticks(
        places if named else [], [names[place] for place in order] if named else [], rotation=90, fontsize=8
    )
    axes.set_ylabel("Dice [%]", color=palette.soft)
    axes.grid(axis="y", color=palette.line, linewidth=0.6)
    axes.set_axisbelow(True)
    legend(axes, palette)
    figure.subplots_adjust(left=0.065, right=0.98, top=0.91, bottom=0.27 if named else 0.04)
    return figure


@mpl.rc_context(STYLE)
def losses(lines: Sequence[Mapping[str, float]], palette: Palette = PAGE) -> Figure:
    """Draws each loss term over the iterations: the logged values and their running mean.

    Args:
        lines: Lines of the log, each with ``iteration`` and the terms by name.
        palette: Colours of the figure.
    """
    names = [name for name in dict.fromkeys(key for line in lines for key in line) if name not in ("kind", "iteration")]
    names.sort(key=lambda name: name != "loss")
    columns = min(4, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(WIDTH, 2.3 * rows))
    for place, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, place + 1)
        known = [(line["iteration"], line[name]) for line in lines if math.isfinite(line.get(name, math.nan))]
        iterations, values = np.array(known, dtype=float).reshape(-1, 2).T
        colour = palette.series[place % len(palette.series)]
        axes.plot(*_thinned(iterations, values), color=colour, alpha=0.28, linewidth=0.8)
        axes.plot(*_thinned(iterations, _running_mean(values)), color=colour, linewidth=1.8)
        clean(axes, palette)
        axes.set_title(name.replace("_", " "), color=palette.ink, loc="left", fontsize=10.5)
        axes.set_xlim(0, max((line["iteration"] for line in lines), default=1))
        axes.set_ylim(bottom=min(0.0, float(values.min())) if len(values) else 0.0)
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
        axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
        axes.grid(axis="y", color=palette.line, linewidth=0.6)
    figure.tight_layout(w_pad=1.6)
    return figure


@mpl.rc_context(STYLE)
def validation(
    curves: Mapping[str, Sequence[tuple[int, float]]], rounds: Sequence[int] = (), palette: Palette = PAGE
) -> Figure:
    """Draws the validation Dice over the iterations, with a vertical line for each round.

    Args:
        curves: Pairs of iteration and Dice (0..1) in order, by method.
        rounds: Iterations at which a round took place.
        palette: Colours of the figure.
    """
    figure, axes = canvas(2.7)
    for iteration in rounds:
        axes.axvline(iteration, color=palette.line, linewidth=1, zorder=0)
    for row, (title, points) in enumerate(curves.items()):
        iterations, values = np.array(points, dtype=float).T
        colour = palette.series[row % len(palette.series)]
        axes.plot(
            iterations, 100 * values, linestyle=DASHES[row % len(DASHES)], marker=MARKERS[row % len(MARKERS)],
            color=colour, markersize=4, linewidth=1.8, label=title,
        )  # fmt: skip
    clean(axes, palette)
    axes.set_ylabel("Dice [%]", color=palette.soft)
    axes.set_xlabel("iteration", color=palette.soft)
    axes.set_xlim(left=0)
    axes.set_ylim(0, 100)
    axes.grid(axis="y", color=palette.line, linewidth=0.6)
    legend(axes, palette)
    figure.subplots_adjust(left=0.065, right=0.98, top=0.9, bottom=0.18)
    return figure


@mpl.rc_context(STYLE)
def label_quality(lines: Sequence[Mapping[str, float]], palette: Palette = PAGE) -> Figure:
    """Draws, for each round, the Dice of the teacher and of the pseudo-labels on the voxels that experts annotated.

    Args:
        lines: For each round, ``round``, ``teacher_dice`` and ``pseudo_label_dice`` (0..1, or NaN).
        palette: Colours of the figure.
    """
    figure, axes = canvas(2.5)
    numbers = np.array([line["round"] for line in lines], dtype=float)
    kinds = (("teacher_dice", "teacher", -0.17), ("pseudo_label_dice", "pseudo-labels", 0.17))
    for place, (key, title, shift) in enumerate(kinds):
        values = 100 * np.array([line.get(key, math.nan) for line in lines], dtype=float)
        colour = palette.series[1 - place]
        axes.bar(numbers + shift, np.nan_to_num(values), width=0.3, color=colour, alpha=0.85, label=title)
        for number, value in zip(numbers, values, strict=True):
            if math.isfinite(value):
                axes.text(number + shift, value + 2, f"{value:.0f}", ha="center", color=palette.ink, fontsize=9)
    clean(axes, palette)
    axes.set(ylim=(0, 108), yticks=range(0, 101, 25), xticks=numbers)
    axes.set_xticklabels([f"round {number:.0f}" for number in numbers])
    axes.set_xlim(numbers.min() - 0.6, max(numbers.max(), numbers.min() + 3) + 0.6)
    axes.set_ylabel("Dice [%]", color=palette.soft)
    axes.grid(axis="y", color=palette.line, linewidth=0.6)
    axes.set_axisbelow(True)
    legend(axes, palette)
    figure.subplots_adjust(left=0.065, right=0.98, top=0.88, bottom=0.12)
    return figure


@mpl.rc_context(STYLE)
def timeline(entries: Sequence[LedgerEntry], iterations: int, palette: Palette = PAGE) -> Figure:
    """Draws when each annotated scan was asked for, and by which strategy.

    Args:
        entries: Entries of the ledger, in order.
        iterations: Iterations of the whole training.
        palette: Colours of the figure.
    """
    strategies = list(dict.fromkeys(entry.strategy for entry in entries))
    figure, axes = canvas(0.24 * len(entries) + 0.95)
    for row, entry in enumerate(entries):
        colour = palette.series[strategies.index(entry.strategy) % len(palette.series)]
        axes.plot([0, entry.iteration], [row, row], color=palette.line, linewidth=1.2, linestyle=(0, (1, 2)))
        axes.plot(
            [entry.iteration, iterations], [row, row], color=colour, linewidth=4, alpha=0.35, solid_capstyle="round"
        )
        axes.plot(entry.iteration, row, "o", color=colour, markersize=7, markeredgewidth=0, clip_on=False)
        name_row(axes, row, entry.scan, palette.ink)
    for place, strategy in enumerate(strategies):
        axes.plot([], [], "o", color=palette.series[place % len(palette.series)], label=strategy)
    clean(axes, palette)
    axes.set(ylim=(len(entries) - 0.4, -0.6), xlim=(0, max(iterations, 1)), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("iteration", color=palette.soft)
    legend(axes, palette)
    fit_rows(figure)
    return figure


def _running_mean(values: np.ndarray, window: int = 9) -> np.ndarray:
    total = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    begin, end = np.maximum(places - window // 2, 0), np.minimum(places + window // 2 + 1, len(values))
    return (total[end] - total[begin]) / (end - begin)


def _thinned(iterations: np.ndarray, values: np.ndarray, points: int = 300) -> tuple[np.ndarray, np.ndarray]:
    step = max(1, len(values) // points)
    return iterations[::step], values[::step].round(5)
