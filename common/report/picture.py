"""The page's main picture, to stand alone."""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.report import figures
from common.report.story import Story


def picture(story: Story) -> Figure:
    """The first held-out scan in three views, a row a run, titled with each run's mean Dice.

    Raises:
        ValueError: if no held-out scan has a prediction.
    """
    shown = next((entry for entry in story.pictures if entry.kind == "prediction"), None)
    if shown is None:
        raise ValueError("a picture needs the prediction of a held-out scan; run inference first.")
    titles = {run.title: run for run in story.runs}
    outlines = {}
    for title, label in shown.outlines.items():
        run = titles.get(title)
        known = run is not None and bool(run.scores)
        outlines[f"{title}\nDice {100 * run.mean('dice'):.1f} %" if run is not None and known else title] = label
    figure = figures.scan_views(
        shown.image, outlines, shown.slices, shown.spacing, reference=shown.reference, palette=figures.PAPER
    )
    if shown.reference is not None:
        with mpl.rc_context():
            lines = [Line2D([], [], color=figures.PAPER.reference, linewidth=2)]
            lines += [Line2D([], [], color=colour, linewidth=2) for colour in figures.PAPER.outlines[: len(outlines)]]
            names = ["reference", *shown.outlines]
            figure.legend(lines, names, loc="lower right", ncols=len(names), fontsize=9, framealpha=0.75)
    return figure
