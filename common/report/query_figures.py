"""Figures of the scans that were chosen among others: by a query, or in each round to learn from their predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.report.drawing import PAGE, STYLE, WIDTH, Palette, canvas, clean, fit_rows, legend, name_row

CHARACTER = 0.075
"""Approximate width of one character of a name in inches; every browser has its own font."""

WIDE = 30.0
"""An axis is logarithmic if the largest number is more than this many times the smallest positive one."""

ROWS = 40
"""Largest number of scans in a figure with one row per scan."""

SIDES = (
    ("left", 0.13, 0.0, 0.0),
    ("right", -0.13, 0.0, -1.0),
    ("center", 0.0, 0.19, -0.5),
    ("center", 0.0, -0.19, -0.5),
)
"""Places for a name beside its dot, best first: alignment, inches to the right and upwards, and where the name begins
relative to that place, in widths of the name."""


@dataclass(frozen=True)
class Point:
    """A scan as a dot in a plane.

    Attributes:
        scan: Id of the scan.
        across: Horizontal coordinate.
        up: Vertical coordinate.
        chosen: Whether the scan was chosen; it is drawn as a circle then.
        mark: Text inside the circle.
    """

    scan: str
    across: float
    up: float
    chosen: bool = False
    mark: str = ""


@mpl.rc_context(STYLE)
def scatter(
    points: Sequence[Point],
    names: tuple[str, str],
    kinds: tuple[str, str],
    *,
    corner: tuple[float, float] | None = None,
    named: bool = True,
    palette: Palette = PAGE,
) -> Figure:
    """Draws scans as dots, the chosen ones as circles with their marks and, where there is room, their names.

    Args:
        points: The scans, at least one, with finite coordinates.
        names: Titles of the horizontal axis (logarithmic if it spans much) and of the vertical axis.
        kinds: Names of the chosen scans and of the others in the legend.
        corner: Thresholds of the choice, if there are any: the largest horizontal and the smallest vertical coordinate.
        named: Whether the names of the chosen scans are written.
        palette: Colours of the figure.
    """
    figure, axes = canvas(3.9)
    clean(axes, palette)
    figure.subplots_adjust(left=0.075, right=0.985, top=0.92, bottom=0.13)
    _limits(axes, points, corner)
    axes.grid(color=palette.line, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(names[0], color=palette.soft)
    axes.set_ylabel(names[1], color=palette.soft)
    if corner is not None:
        _corner(axes, corner, palette)
    _dots(axes, points, kinds, palette)
    if named:
        _name(axes, points, corner, palette)
    legend(axes, palette)
    return figure


@mpl.rc_context(STYLE)
def ranked(points: Sequence[Point], name: str, kinds: tuple[str, str], palette: Palette = PAGE) -> Figure:
    """Draws one row per scan, the highest number first: chosen scans as circles with their marks, others as dots.

    Args:
        points: The scans, at least one, with finite ``across``; ``up`` is ignored. :py:func:`in_ranks` says which of
            them are shown.
        name: Title of the horizontal axis.
        kinds: Names of the chosen scans and of the others in the legend.
        palette: Colours of the figure.
    """
    shown = in_ranks(points)
    figure, axes = canvas(0.24 * len(shown) + 0.95)
    rows = range(len(shown))
    for row, point in enumerate(shown):
        axes.axhline(row, color=palette.line, linewidth=1.2, linestyle=(0, (1, 2)), zorder=0)
        name_row(axes, row, point.scan, palette.ink if point.chosen else palette.soft)
    _dots(axes, [replace(point, up=row) for row, point in zip(rows, shown, strict=True)], kinds, palette)
    clean(axes, palette)
    axes.set(ylim=(len(shown) - 0.4, -0.6), xlim=_padded(np.array([point.across for point in shown])), yticks=[])
    axes.ticklabel_format(axis="x", style="plain", useOffset=False)
    axes.set_xlabel(name, color=palette.soft)
    legend(axes, palette)
    fit_rows(figure)
    return figure


def in_ranks(points: Sequence[Point]) -> list[Point]:
    """Keeps all chosen scans and the highest of the others, ``ROWS`` in total; highest first, equal ones by name."""
    points = sorted(points, key=lambda point: (-point.across, point.scan))
    others = [point for point in points if not point.chosen]
    left_out = others[max(0, ROWS - (len(points) - len(others))) :]
    return [point for point in points if point not in left_out]


@mpl.rc_context(STYLE)
def trusted_by_round(rounds: Mapping[int, Sequence[str]], palette: Palette = PAGE) -> Figure:
    """Draws in which rounds each scan was selected and, above, how many scans each round selected.

    Args:
        rounds: Selected scans by number of the round, in order; at least one scan in all.
        palette: Colours of the figure.
    """
    numbers = list(rounds)
    scans = most_trusted(rounds)[:ROWS]
    figure, axes = canvas(0.22 * len(scans) + 0.95)
    colour = palette.series[0]
    for row, scan in enumerate(scans):
        begin = -0.5
        for selected, group in groupby(scan in rounds[number] for number in numbers):
            end = begin + len(list(group))
            if selected:
                axes.barh(row, end - begin - 0.1, left=begin + 0.05, height=0.6, color=colour, alpha=0.45)
            else:
                axes.plot([begin, end], [row, row], color=palette.line, linewidth=1.2, linestyle=(0, (1, 2)))
            begin = end
        name_row(axes, row, scan, palette.ink)
    step = -(-len(numbers) // 25)
    for place in range(0, len(numbers), step):
        axes.text(place, -0.75, str(len(rounds[numbers[place]])), ha="center", va="bottom", color=palette.ink,
                  fontsize=10.5)  # fmt: skip
    clean(axes, palette)
    axes.set(ylim=(len(scans) - 0.4, -0.6), xlim=(-0.55, len(numbers) - 0.45), yticks=[])
    axes.set_xticks(range(0, len(numbers), step), [str(number) for number in numbers[::step]])
    axes.set_xlabel("round", color=palette.soft)
    fit_rows(figure)
    return figure


def most_trusted(rounds: Mapping[int, Sequence[str]]) -> list[str]:
    """Sorts the scans that were ever selected, those of most rounds first, equal ones by name."""
    times = Counter(scan for selected in rounds.values() for scan in selected)
    return sorted(times, key=lambda scan: (-times[scan], scan))


def _dots(axes: Axes, points: Sequence[Point], kinds: tuple[str, str], palette: Palette) -> None:
    chosen = [point for point in points if point.chosen]
    others = [point for point in points if not point.chosen]
    colour = palette.series[0]
    axes.scatter(
        [point.across for point in chosen], [point.up for point in chosen], color=f"{colour}3d", edgecolors=colour,
        s=170 if any(point.mark for point in chosen) else 64, linewidths=1.3, label=kinds[0], clip_on=False, zorder=3,
    )  # fmt: skip
    axes.plot(
        [point.across for point in others], [point.up for point in others], "o", color=palette.soft, label=kinds[1],
        alpha=0.6, markersize=5, markeredgewidth=0, clip_on=False,
    )  # fmt: skip
    for point in chosen:
        axes.text(point.across, point.up, point.mark, ha="center", va="center_baseline", color=palette.ink,
                  fontsize=8.5, zorder=4)  # fmt: skip


def _limits(axes: Axes, points: Sequence[Point], corner: tuple[float, float] | None) -> None:
    across = np.array([point.across for point in points] + ([] if corner is None else [corner[0]]))
    up = np.array([point.up for point in points] + ([] if corner is None else [corner[1]]))
    positive = across[across > 0]
    if across.min() >= 0 and len(positive) and positive.max() > WIDE * positive.min():
        _logarithmic(axes, float(positive.min()), float(positive.max()), zero=bool(across.min() == 0))
    else:
        axes.set_xlim(*_padded(across))
        axes.ticklabel_format(axis="x", style="plain", useOffset=False)
    axes.set_ylim(*_padded(up))
    axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(6))
    axes.ticklabel_format(axis="y", style="plain", useOffset=False)


def _logarithmic(axes: Axes, least: float, most: float, *, zero: bool) -> None:
    """Makes the horizontal axis logarithmic; if it must show zero, it is linear up to the least number."""
    subs = (1, 2, 5) if most < 500 * least else (1,)
    if zero:
        axes.set_xscale("symlog", linthresh=least)
        axes.xaxis.set_major_locator(mpl.ticker.SymmetricalLogLocator(base=10, linthresh=least, subs=subs))
    else:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=subs))
    axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlim(-0.1 * least if zero else 0.6 * least, 1.6 * most)


def _padded(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.1 * (high - low) or 0.1 * abs(high) or 0.1
    return low - room, high + room


def _corner(axes: Axes, corner: tuple[float, float], palette: Palette) -> None:
    """Draws the part of the plane in which scans are chosen, with the values of its bounds."""
    (left, _), (_, top) = axes.get_xlim(), axes.get_ylim()
    across, up = corner
    axes.fill_between([left, across], up, top, color=palette.series[0], alpha=0.07, linewidth=0, zorder=0)
    axes.axhline(up, color=palette.soft, linewidth=1, linestyle=(0, (4, 3)))
    axes.axvline(across, color=palette.soft, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(f"at least {up:.4g}", (1, up), (0, 3), xycoords=axes.get_yaxis_transform(),
                  textcoords="offset points", ha="right", va="bottom", color=palette.soft, fontsize=9)  # fmt: skip
    axes.annotate(f"at most {across:.4g}", (across, 0), (4, 4), xycoords=axes.get_xaxis_transform(),
                  textcoords="offset points", ha="left", va="bottom", color=palette.soft, fontsize=9)  # fmt: skip


def _name(axes: Axes, points: Sequence[Point], corner: tuple[float, float] | None, palette: Palette) -> None:
    """Writes names beside circles where they cover no dot and no other name and, if possible, no line."""
    per_inch = WIDTH / axes.figure.bbox.width

    def place(across: float, up: float) -> np.ndarray:
        return np.asarray(axes.transData.transform((across, up))) * per_inch

    frame = np.asarray(axes.bbox.extents) * per_inch
    lines = []
    if corner is not None:
        right, above = place(*corner)
        lines = [np.array([frame[0], above, frame[2], above]), np.array([right, frame[1], right, frame[3]])]
    taken = []
    for point in points:
        centre, radius = place(point.across, point.up), 0.09 if point.chosen else 0.05
        taken.append(np.concatenate([centre - radius, centre + radius]))
    for point in (point for point in points if point.chosen):
        width = CHARACTER * len(point.scan)
        boxes = [
            place(point.across, point.up)[[0, 1, 0, 1]]
            + [x + start * width, y - 0.08, x + (start + 1) * width, y + 0.08]
            for _, x, y, start in SIDES
        ]
        sides = [
            number
            for avoided in ([*taken, *lines], taken)
            for number, box in enumerate(boxes)
            if _within(box, frame) and not any(_overlap(box, other) for other in avoided)
        ]
        if sides:
            taken.append(boxes[sides[0]])
            side, x, y, _ = SIDES[sides[0]]
            axes.annotate(point.scan, (point.across, point.up), (72 * x, 72 * y), textcoords="offset points", ha=side,
                          va="center_baseline", color=palette.ink, fontsize=9)  # fmt: skip


def _within(box: np.ndarray, frame: np.ndarray) -> bool:
    return bool((box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all())


def _overlap(box: np.ndarray, other: np.ndarray) -> bool:
    return bool((box[:2] < other[2:]).all() and (other[:2] < box[2:]).all())
