"""Pictures of a scan in its three views, with the outlines of label maps."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.cohort.volumes import VIEWS
from common.report.drawing import PAGE, STYLE, WIDTH, Palette
from common.report.story import Picture

HORIZONTAL = {"axial": 0, "coronal": 0, "sagittal": 1}
VERTICAL = {"axial": 1, "coronal": 2, "sagittal": 2}


PIXELS = 640


@mpl.rc_context(STYLE)
def scan_views(picture: Picture, palette: Palette = PAGE, *, pixels: int = PIXELS) -> Figure:
    """Draws a scan in its three views, with one row per label map and the reference's outline in each row.

    Patients are seen from below, from the front and from their left, as radiologists do. The outlines of a cross-label
    are filled, and lines show where the other two slices cut the one shown.

    Args:
        picture: The scan and its label maps.
        palette: Colours of the figure.
        pixels: Largest side of a slice in pixels; one of more voxels is shown by means of several.
    """
    cross = picture.kind == "cross_label"
    extents = np.array(picture.image.shape) * np.asarray(picture.spacing)
    widths = [extents[HORIZONTAL[view]] for view in VIEWS]
    tallest = max(extents[VERTICAL[view]] for view in VIEWS)
    rows = max(1, len(picture.outlines))
    scale = (WIDTH - 1.2) / sum(widths)
    figure = Figure(figsize=(WIDTH, rows * scale * tallest + 0.12 * rows + 0.3))
    top = 1 - 0.28 / figure.get_figheight()
    grid = figure.add_gridspec(
        rows, 3, width_ratios=widths, left=0.1, right=1, top=top, bottom=0, wspace=0.025, hspace=0.03
    )
    for row, (title, outline) in enumerate(picture.outlines.items() or [("", None)]):
        for column, view in enumerate(VIEWS):
            axes = figure.add_subplot(grid[row, column])
            _slice(axes, view, picture, pixels)
            if picture.reference is not None:
                _outline(axes, view, picture, picture.reference, palette.reference, fill=False)
            if outline is not None:
                colour = palette.outlines[row % len(palette.outlines)]
                _outline(axes, view, picture, outline, colour, fill=cross)
            if cross:
                _cross(axes, view, picture, palette.reference)
            if row == 0:
                axes.set_title(f"{view} {picture.slices[view]}", color=palette.soft, fontsize=9.5, pad=5)
            if column == 0:
                axes.text(-0.03, 0.5, title, transform=axes.transAxes, ha="right", va="center", rotation=90,
                          color=palette.ink, fontsize=10.5)  # fmt: skip
    return figure


def _plane(volume: np.ndarray, view: str, index: int) -> np.ndarray:
    return np.moveaxis(volume, VIEWS[view], 0)[index].T


def _slice(axes: Axes, view: str, picture: Picture, pixels: int) -> None:
    image, spacing = picture.image, picture.spacing
    low, high = np.percentile(image, (0.5, 99.7))
    plane = np.clip((_plane(image, view, picture.slices[view]) - low) / max(high - low, 1e-6), 0, 1)
    width, height = (image.shape[axis] * spacing[axis] for axis in (HORIZONTAL[view], VERTICAL[view]))
    side = -(-max(plane.shape) // pixels)
    rows, columns = (min(side, size) for size in plane.shape)
    shown = _block_means(plane, rows, columns)
    up, across = shown.shape[0] * rows / plane.shape[0], shown.shape[1] * columns / plane.shape[1]
    axes.imshow(
        (255 * shown).astype(np.uint8), cmap="gray", vmin=0, vmax=255, origin="lower",
        extent=(0, across * width, 0, up * height), interpolation="none", aspect="equal",
    )  # fmt: skip
    axes.set_axis_off()
    axes.set(xlim=(width, 0), ylim=(0, height))


def _block_means(plane: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Averages blocks of pixels; what is left over at the end of an axis is dropped."""
    height, width = plane.shape[0] // rows, plane.shape[1] // columns
    kept = plane[: height * rows, : width * columns]
    return kept.reshape(height, rows, width, columns).mean(axis=(1, 3))


def _outline(axes: Axes, view: str, picture: Picture, label: np.ndarray, colour: str, *, fill: bool) -> None:
    plane = _plane(np.where(label == 255, 0, label), view, picture.slices[view])
    across, up = picture.spacing[HORIZONTAL[view]], picture.spacing[VERTICAL[view]]
    x = (np.arange(plane.shape[1]) + 0.5) * across
    y = (np.arange(plane.shape[0]) + 0.5) * up
    for index in (int(value) for value in np.unique(plane) if value):
        mask = (plane == index).astype(float)
        if mask.min() == mask.max() or min(mask.shape) < 2:
            continue
        if fill:
            axes.contourf(x, y, mask, levels=[0.5, 1.5], colors=[colour], alpha=0.35)
        axes.contour(x, y, mask, levels=[0.5], colors=[colour], linewidths=1.5)


def _cross(axes: Axes, view: str, picture: Picture, colour: str) -> None:
    slices, spacing = picture.slices, picture.spacing
    views = {axis: name for name, axis in VIEWS.items()}
    style: dict[str, Any] = {"color": colour, "linewidth": 0.8, "linestyle": (0, (4, 3)), "alpha": 0.9}
    across, up = HORIZONTAL[view], VERTICAL[view]
    if (other := views[across]) in slices:
        axes.axvline((slices[other] + 0.5) * spacing[across], **style)
    if (other := views[up]) in slices:
        axes.axhline((slices[other] + 0.5) * spacing[up], **style)
