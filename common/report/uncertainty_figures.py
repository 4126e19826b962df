"""Figures of whether uncertain predictions are the wrong ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from common.report.drawing import PAGE, STYLE, Palette, canvas, clean, legend


@mpl.rc_context(STYLE)
def agreement(uncertainty: Sequence[float], error: Sequence[float], palette: Palette = PAGE) -> Figure:
    """Draws the error of each scan, one minus its Dice, against the uncertainty of its prediction.

    Args:
        uncertainty: Uncertainty of each scan, 0 to 1.
        error: One minus the Dice of each scan, 0 to 1.
        palette: Colours of the figure.
    """
    figure, axes = canvas(3.2)
    axes.plot(uncertainty, 100 * np.asarray(error), "o", color=palette.series[0], alpha=0.7, markersize=6,
              markeredgewidth=0, clip_on=False)  # fmt: skip
    clean(axes, palette)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(6))
    axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
    axes.set_xlabel("uncertainty of the prediction", color=palette.soft)
    axes.set_ylabel("100 % − Dice", color=palette.soft)
    axes.grid(color=palette.line, linewidth=0.6)
    axes.set_axisbelow(True)
    figure.subplots_adjust(left=0.065, right=0.98, top=0.96, bottom=0.16)
    return figure


@mpl.rc_context(STYLE)
def reliability_diagram(ranges: Sequence[Mapping[str, float]], palette: Palette = PAGE) -> Figure:
    """Draws the accuracy of predictions against their confidence, and the share of voxels in each range.

    Args:
        ranges: ``voxels``, ``confidence`` and ``accuracy`` of each range of confidence, at least one.
        palette: Colours of the figure.
    """
    confidence, accuracy, voxels = (
        np.array([one[name] for one in ranges]) for name in ("confidence", "accuracy", "voxels")
    )
    figure, axes = canvas(3.2)
    width = 0.7 * min(np.diff(confidence), default=0.05)
    axes.bar(100 * confidence, 100 * voxels / voxels.sum(), width=100 * width, color=palette.soft, alpha=0.3,
             linewidth=0, label="share of the voxels")  # fmt: skip
    axes.plot(
        [0, 100], [0, 100], color=palette.soft, linewidth=1.2, linestyle=(0, (4, 3)), label="as right as confident"
    )
    axes.plot(100 * confidence, 100 * accuracy, "-o", color=palette.series[0], markersize=5.5, linewidth=1.8,
              label="accuracy")  # fmt: skip
    clean(axes, palette)
    axes.set(xlim=(100 * float(confidence.min()) - 5, 102), ylim=(0, 102), yticks=range(0, 101, 25))
    axes.set_xlabel("confidence [%]", color=palette.soft)
    axes.set_ylabel("[%]", color=palette.soft)
    axes.grid(axis="y", color=palette.line, linewidth=0.6)
    axes.set_axisbelow(True)
    legend(axes, palette)
    figure.subplots_adjust(left=0.065, right=0.98, top=0.9, bottom=0.16)
    return figure
