"""What all figures share: colours, fonts, axes, and how a figure becomes SVG for the page or a PNG file."""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D")
"""Shapes of the dots of methods, in turn, which tell them apart without colours."""

DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
"""Styles of the lines of methods, in turn."""

WIDTH = 10.0
"""Width of a figure in inches; on the page it is as wide as the text."""


@dataclass(frozen=True)
class Palette:
    """Colours of a figure, each a hexadecimal triplet.

    Attributes:
        ink: Colour of text and main lines.
        soft: Colour of secondary text.
        line: Colour of axes and grids.
        series: Colours of methods, loss terms and strategies, in turn: those of Okabe and Ito (2008), with a darker
            purple, which the colour-blind can tell apart.
        reference: Colour of an expert's outline on a scan.
        outlines: Colours of predicted outlines on a scan.
    """

    ink: str
    soft: str
    line: str
    series: tuple[str, ...]
    reference: str = "#f0e442"
    outlines: tuple[str, ...] = ("#56b4e9", "#d55e00", "#009e73", "#cc79a7")


PAGE = Palette("#010101", "#020202", "#030303", ("#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04"))
"""Placeholders that :py:func:`svg` replaces by the page's CSS variables, so that figures follow light and dark mode."""

PAPER = Palette("#1d2126", "#667079", "#d9dde0", ("#0072b2", "#d55e00", "#009e73", "#8a2d63"))
"""Colours of figures that stand alone, on white."""

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
"""Matplotlib's settings, for ``rc_context`` wherever something is drawn or saved."""


@mpl.rc_context(STYLE)
def svg(figure: Figure, name: str, alternative: str = "") -> str:
    """Turns a figure into an ``<svg>`` element with ids of its own and the page's colours and fonts.

    Args:
        figure: Figure drawn with the palette ``PAGE``.
        name: Prefix of the ids, unique in the page; letters, digits and hyphens.
        alternative: What the figure shows, for those who do not see it.
    """
    buffer = io.StringIO()
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
    text = text.replace("<svg", f'<svg role="img" aria-label="{html.escape(alternative)}"', 1)
    return re.sub(r"\n\s*", "\n", text).strip()


@mpl.rc_context(STYLE)
def png(figure: Figure, dots_per_inch: int = 130) -> bytes:
    """Turns a figure into a PNG file on white, with few colours to keep it small."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, facecolor="white")
    image = Image.open(buffer).convert("RGB").quantize(192, dither=Image.Dither.NONE)
    small = io.BytesIO()
    image.save(small, format="PNG", optimize=True)
    return small.getvalue()


def canvas(height: float) -> tuple[Figure, Axes]:
    """Makes a figure of this height, in inches, and its axes."""
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.add_subplot()


def clean(axes: Axes, palette: Palette) -> None:
    """Colours the frame and the ticks, and hides the vertical axis."""
    for side in axes.spines.values():
        side.set_color(palette.line)
    axes.spines["left"].set_visible(False)
    axes.tick_params(colors=palette.line, labelcolor=palette.soft)


def legend(axes: Axes, palette: Palette) -> None:
    """Puts a legend in one row above the axes."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 0.99), ncols=6, borderaxespad=0, labelcolor=palette.ink, fontsize=10
    )


def name_row(axes: Axes, row: int, name: str, colour: str) -> None:
    """Writes a scan's name to the left of its row."""
    axes.text(-0.012, row, name, transform=axes.get_yaxis_transform(), ha="right", va="center", color=colour,
              fontsize=9)  # fmt: skip


def fit_rows(figure: Figure) -> None:
    """Leaves room around the axes of a figure with one row per scan: names left, legend above, ticks below."""
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.17, right=0.98, top=1 - 0.3 / height, bottom=0.5 / height)
