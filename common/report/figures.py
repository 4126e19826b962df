"""Figures of numbers and scans, as inline SVG whose colours follow the page, light or dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.annotations import LedgerEntry
from common.cohort.views import VIEWS

WIDTH = 10.0
"""Of a figure, in inches; on the page it is as wide as the text."""

HORIZONTAL = {"axial": 0, "coronal": 0, "sagittal": 1}
VERTICAL = {"axial": 1, "coronal": 2, "sagittal": 2}


@dataclass(frozen=True)
class Palette:
    """Colours of a figure, each a hexadecimal triplet.

    Attributes:
        ink: of text and main lines.
        soft: of secondary text.
        line: of axes and grids.
        series: of methods, loss terms and strategies, one after another; told apart by the colour-blind too.
        reference: of an expert's outline on a scan.
        outlines: of predicted outlines on a scan.
    """

    ink: str
    soft: str
    line: str
    series: tuple[str, ...]
    reference: str = "#f0e442"
    outlines: tuple[str, ...] = ("#4db8ff", "#ff8b4d", "#2fd6a3", "#e79ac4")


PAGE = Palette("#010101", "#020202", "#030303", ("#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04"))
"""Stands for the page's own colours: :py:func:`svg` puts its CSS variables in their places."""

PAPER = Palette("#1d2126", "#667079", "#d9dde0", ("#0b63a5", "#c4541a", "#0a8065", "#a4467d"))
"""For figures that stand alone, on white."""

_VARIABLES = {
    PAGE.ink: "var(--ink)",
    PAGE.soft: "var(--soft)",
    PAGE.line: "var(--line)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(PAGE.series, 1)},
}
STYLE: Any = {
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.parse_math": False,
}
"""Matplotlib's settings, for ``rc_context`` wherever something is drawn."""


def svg(figure: Figure, name: str) -> str:
    """An ``<svg>`` element to stand in a page: no header, ids of its own, the page's colours and fonts.

    Args:
        figure: drawn with the palette ``PAGE``.
        name: of the figure, unique in the page; letters, digits and hyphens.
    """
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = text.replace("url(#", f"url(#{name}-")
    text = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", text)
    text = re.sub(r";?\s*image-rendering:\s*[\w-]+", "", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return re.sub(r"\n\s*", "\n", text).strip()


def png(figure: Figure, dots_per_inch: int = 130) -> bytes:
    """The figure as a PNG file on white, few colours to keep it small."""
    from PIL import Image

    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=dots_per_inch, facecolor="white")
    image = Image.open(buffer).convert("RGB").quantize(192, dither=Image.Dither.NONE)
    small = io.BytesIO()
    image.save(small, format="PNG", optimize=True)
    return small.getvalue()


def comparison(scores: Mapping[str, Sequence[float]], palette: Palette = PAGE) -> Figure:
    """Dice of methods: a dot a scan, and a bar from 0 to the mean.

    Args:
        scores: by method, Dice of each scan in 0..1; without NaN.
    """
    figure, axes = canvas(0.62 * len(scores) + 0.55)
    with mpl.rc_context(STYLE):
        for row, (title, values) in enumerate(scores.items()):
            colour = palette.series[row % len(palette.series)]
            percent = 100 * np.asarray(values, dtype=float)
            mean = float(percent.mean())
            axes.barh(row, mean, height=0.5, color=colour, alpha=0.22, linewidth=0)
            axes.plot([mean, mean], [row - 0.25, row + 0.25], color=colour, linewidth=3, solid_capstyle="butt")
            spread = 0.16 * np.sin(np.arange(len(percent)) * 2.4)
            axes.plot(percent, row + spread, "o", color=colour, alpha=0.65, markersize=4.5, markeredgewidth=0)
            axes.text(-1.2, row, title, ha="right", va="center", color=palette.ink, fontsize=10.5)
            axes.text(101.5, row, f"{mean:.1f}", ha="left", va="center", color=palette.ink, fontsize=14)
        clean(axes, palette)
        axes.set(xlim=(0, 100), ylim=(len(scores) - 0.5, -0.5), yticks=[], xticks=range(0, 101, 20))
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("Dice [%], a dot a scan", color=palette.soft)
        axes.grid(axis="x", color=palette.line, linewidth=0.7)
        figure.subplots_adjust(left=0.19, right=0.93, top=0.98, bottom=0.5 / figure.get_figheight())
    return figure


def losses(lines: Sequence[Mapping[str, float]], palette: Palette = PAGE) -> Figure:
    """Each loss term over the iterations: what was logged, and its running mean.

    Args:
        lines: each with ``iteration`` and the terms by name.
    """
    names = [name for name in dict.fromkeys(key for line in lines for key in line) if name not in ("kind", "iteration")]
    names.sort(key=lambda name: name != "loss")
    columns = min(4, len(names))
    rows = math.ceil(len(names) / columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.3 * rows))
        for place, name in enumerate(names):
            axes = figure.add_subplot(rows, columns, place + 1)
            known = [(line["iteration"], line[name]) for line in lines if math.isfinite(line.get(name, math.nan))]
            iterations, values = np.array(known, dtype=float).reshape(-1, 2).T
            colour = palette.series[place % len(palette.series)]
            axes.plot(*_thinned(iterations, values), color=colour, alpha=0.28, linewidth=0.8)
            axes.plot(*_thinned(iterations, _running_mean(values)), color=colour, linewidth=1.8)
            clean(axes, palette)
            axes.set_title(_words(name), color=palette.ink, loc="left", fontsize=10.5)
            axes.set_xlim(0, max((line["iteration"] for line in lines), default=1))
            axes.set_ylim(bottom=min(0.0, float(values.min())) if len(values) else 0.0)
            axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
            axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
            axes.grid(axis="y", color=palette.line, linewidth=0.6)
        figure.tight_layout(w_pad=1.6)
    return figure


def validation(
    curves: Mapping[str, Sequence[tuple[int, float]]], rounds: Sequence[int] = (), palette: Palette = PAGE
) -> Figure:
    """Validation Dice over the iterations, the rounds marked.

    Args:
        curves: by method, (iteration, Dice in 0..1) in order.
        rounds: iterations of the rounds.
    """
    figure, axes = canvas(2.7)
    with mpl.rc_context(STYLE):
        for iteration in rounds:
            axes.axvline(iteration, color=palette.line, linewidth=1, zorder=0)
        for row, (title, points) in enumerate(curves.items()):
            iterations, values = np.array(points, dtype=float).T
            colour = palette.series[row % len(palette.series)]
            axes.plot(iterations, 100 * values, "-o", color=colour, markersize=4, linewidth=1.8, label=title)
        clean(axes, palette)
        axes.set_ylabel("Dice [%]", color=palette.soft)
        axes.set_xlabel("iteration", color=palette.soft)
        axes.set_xlim(left=0)
        axes.set_ylim(0, 100)
        axes.grid(axis="y", color=palette.line, linewidth=0.6)
        legend(axes, palette)
        figure.subplots_adjust(left=0.065, right=0.98, top=0.9, bottom=0.18)
    return figure


def label_quality(lines: Sequence[Mapping[str, float]], palette: Palette = PAGE) -> Figure:
    """Dice of the teacher and of the pseudo-labels made from it, round by round, on the voxels that experts annotated.

    Args:
        lines: each with ``round``, ``teacher_dice`` and ``pseudo_label_dice`` (0..1, or NaN).
    """
    figure, axes = canvas(2.5)
    numbers = np.array([line["round"] for line in lines], dtype=float)
    with mpl.rc_context(STYLE):
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


def timeline(entries: Sequence[LedgerEntry], iterations: int, palette: Palette = PAGE) -> Figure:
    """When each annotated scan was asked for, and by which strategy.

    Args:
        entries: of the ledger, in order.
        iterations: of the whole training.
    """
    strategies = list(dict.fromkeys(entry.strategy for entry in entries))
    figure, axes = canvas(0.24 * len(entries) + 0.95)
    with mpl.rc_context(STYLE):
        for row, entry in enumerate(entries):
            colour = palette.series[strategies.index(entry.strategy) % len(palette.series)]
            axes.plot([0, entry.iteration], [row, row], color=palette.line, linewidth=1.2, linestyle=(0, (1, 2)))
            axes.plot(
                [entry.iteration, iterations], [row, row], color=colour, linewidth=4, alpha=0.35, solid_capstyle="round"
            )
            axes.plot(entry.iteration, row, "o", color=colour, markersize=7, markeredgewidth=0, clip_on=False)
            axes.text(-0.012, row, entry.scan, transform=axes.get_yaxis_transform(), ha="right", va="center",
                      color=palette.ink, fontsize=9)  # fmt: skip
        for place, strategy in enumerate(strategies):
            axes.plot([], [], "o", color=palette.series[place % len(palette.series)], label=strategy)
        clean(axes, palette)
        axes.set(ylim=(len(entries) - 0.4, -0.6), xlim=(0, max(iterations, 1)), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("iteration", color=palette.soft)
        legend(axes, palette)
        height = figure.get_figheight()
        figure.subplots_adjust(left=0.17, right=0.98, top=1 - 0.3 / height, bottom=0.5 / height)
    return figure


def scan_views(
    image: np.ndarray,
    outlines: Mapping[str, np.ndarray],
    slices: Mapping[str, int],
    spacing: Sequence[float],
    *,
    reference: np.ndarray | None = None,
    cross: bool = False,
    palette: Palette = PAGE,
) -> Figure:
    """A scan in its three views, a row for each label map, the reference's outline in every row.

    Patients are seen from below, from the front and from their left, as radiologists do.

    Args:
        image: ``[H, W, D]`` in RAS orientation.
        outlines: label maps ``[H, W, D]`` by title; 255 is nothing.
        slices: index of the slice shown in each view.
        spacing: of the voxels, in millimetres.
        reference: dense label map ``[H, W, D]``.
        cross: whether to draw where the other two slices cut the one shown, and to fill the outlines.
    """
    extents = np.array(image.shape) * np.asarray(spacing)
    widths = [extents[HORIZONTAL[view]] for view in VIEWS]
    tallest = max(extents[VERTICAL[view]] for view in VIEWS)
    rows = max(1, len(outlines))
    scale = (WIDTH - 1.2) / sum(widths)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, rows * scale * tallest + 0.12 * rows + 0.3))
        top = 1 - 0.28 / figure.get_figheight()
        grid = figure.add_gridspec(
            rows, 3, width_ratios=widths, left=0.1, right=1, top=top, bottom=0, wspace=0.025, hspace=0.03
        )
        for row, (title, outline) in enumerate(outlines.items() if outlines else [("", None)]):
            for column, view in enumerate(VIEWS):
                axes = figure.add_subplot(grid[row, column])
                _slice(axes, view, image, slices, spacing)
                if reference is not None:
                    _outline(axes, view, reference, slices, spacing, palette.reference, fill=False)
                if outline is not None:
                    colour = palette.outlines[row % len(palette.outlines)]
                    _outline(axes, view, outline, slices, spacing, colour, fill=cross)
                if cross:
                    _cross(axes, view, slices, spacing, palette.reference)
                if row == 0:
                    axes.set_title(f"{view} {slices[view]}", color=palette.soft, fontsize=9.5, pad=5)
                if column == 0:
                    axes.text(-0.03, 0.5, title, transform=axes.transAxes, ha="right", va="center", rotation=90,
                              color=palette.ink, fontsize=10.5)  # fmt: skip
    return figure


def canvas(height: float) -> tuple[Figure, Axes]:
    """A figure of this height, in inches, and its axes."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        return figure, figure.add_subplot()


def clean(axes: Axes, palette: Palette) -> None:
    """Gives the frame and the ticks their colours, and takes away the upright axis."""
    for side in axes.spines.values():
        side.set_color(palette.line)
    axes.spines["left"].set_visible(False)
    axes.tick_params(colors=palette.line, labelcolor=palette.soft)


def legend(axes: Axes, palette: Palette) -> None:
    """A legend in one row above the axes."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 0.99), ncols=6, borderaxespad=0, labelcolor=palette.ink, fontsize=10
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _running_mean(values: np.ndarray, window: int = 9) -> np.ndarray:
    total = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    begin, end = np.maximum(places - window // 2, 0), np.minimum(places + window // 2 + 1, len(values))
    return (total[end] - total[begin]) / (end - begin)


def _thinned(iterations: np.ndarray, values: np.ndarray, points: int = 300) -> tuple[np.ndarray, np.ndarray]:
    step = max(1, len(values) // points)
    return iterations[::step], values[::step].round(5)


def _plane(volume: np.ndarray, view: str, index: int) -> np.ndarray:
    return np.moveaxis(volume, VIEWS[view], 0)[index].T


def _slice(axes: Axes, view: str, image: np.ndarray, slices: Mapping[str, int], spacing: Sequence[float]) -> None:
    low, high = np.percentile(image, (0.5, 99.7))
    plane = np.clip((_plane(image, view, slices[view]) - low) / max(high - low, 1e-6), 0, 1)
    width, height = (image.shape[axis] * spacing[axis] for axis in (HORIZONTAL[view], VERTICAL[view]))
    axes.imshow(
        (255 * plane).astype(np.uint8), cmap="gray", vmin=0, vmax=255, origin="lower", extent=(0, width, 0, height),
        interpolation="none", aspect="equal",
    )  # fmt: skip
    axes.set_axis_off()
    axes.set(xlim=(width, 0), ylim=(0, height))


def _outline(
    axes: Axes, view: str, label: np.ndarray, slices: Mapping[str, int], spacing: Sequence[float], colour: str, *,
    fill: bool,
) -> None:  # fmt: skip
    plane = _plane(np.where(label == 255, 0, label), view, slices[view])
    across, up = spacing[HORIZONTAL[view]], spacing[VERTICAL[view]]
    x = (np.arange(plane.shape[1]) + 0.5) * across
    y = (np.arange(plane.shape[0]) + 0.5) * up
    for index in (int(value) for value in np.unique(plane) if value):
        mask = (plane == index).astype(float)
        if mask.min() == mask.max() or min(mask.shape) < 2:
            continue
        if fill:
            axes.contourf(x, y, mask, levels=[0.5, 1.5], colors=[colour], alpha=0.35)
        axes.contour(x, y, mask, levels=[0.5], colors=[colour], linewidths=1.5)


def _cross(axes: Axes, view: str, slices: Mapping[str, int], spacing: Sequence[float], colour: str) -> None:
    views = {axis: name for name, axis in VIEWS.items()}
    style: dict[str, Any] = {"color": colour, "linewidth": 0.8, "linestyle": (0, (4, 3)), "alpha": 0.9}
    across, up = HORIZONTAL[view], VERTICAL[view]
    if (other := views[across]) in slices:
        axes.axvline((slices[other] + 0.5) * spacing[across], **style)
    if (other := views[up]) in slices:
        axes.axhline((slices[other] + 0.5) * spacing[up], **style)
