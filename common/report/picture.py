"""The page's main picture as a figure of its own."""

from __future__ import annotations

from dataclasses import replace

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.report.drawing import PAPER
from common.report.scan_views import scan_views
from common.report.story import Story


def picture(story: Story) -> Figure:
    """Draws the first held-out scan in three views, with one row per run and the run's mean Dice as its title.

    Raises:
        ValueError: If no held-out scan has a prediction.
    """
    shown = next((entry for entry in story.pictures if entry.kind == "prediction"), None)
    if shown is None:
        raise ValueError("a picture needs the prediction of a held-out scan; run inference first.")
    means = {run.title: run.summary["dice"]["mean"] for run in story.runs}
    outlines = {}
    for title, label in shown.outlines.items():
        dice = means.get(title)
        outlines[title if dice is None else f"{title}\nDice {100 * dice:.1f} %"] = label
    figure = scan_views(replace(shown, outlines=outlines), PAPER)
    if shown.reference is not None:
        colours = [PAPER.reference, *PAPER.outlines[: len(outlines)]]
        lines = [Line2D([], [], color=colour, linewidth=2) for colour in colours]
        names = ["reference", *shown.outlines]
        figure.legend(lines, names, loc="lower right", ncols=len(names), fontsize=9, framealpha=0.75)
    return figure
