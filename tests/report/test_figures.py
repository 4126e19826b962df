"""Figures show their numbers, stay small, and follow the page's colours."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from common.annotations import LedgerEntry
from common.prepare import phantom_volume
from common.report import Picture, figures
from common.report.drawing import PAPER, png, svg
from common.report.scan_views import scan_views
from tests.report.pages import texts

CUTS = {"axial": 12, "coronal": 10, "sagittal": 8}


@pytest.fixture(scope="module")
def scan() -> tuple[np.ndarray, np.ndarray]:
    return phantom_volume(32, 1)


def picture(
    image: np.ndarray,
    outlines: dict[str, np.ndarray],
    slices: dict[str, int] = CUTS,
    spacing: tuple[float, float, float] = (1, 1, 1),
    reference: np.ndarray | None = None,
) -> Picture:
    return Picture("scan", "prediction", image, reference, outlines, slices, spacing)


def test_comparison_writes_the_means() -> None:
    shown = texts(figures.comparison({"FM-ABS": [0.9, 0.8], "Supervised": [0.5]}))
    assert {"FM-ABS", "85.0", "Supervised", "50.0"} <= set(shown)


def test_label_quality_leaves_out_nan() -> None:
    lines = [{"round": 1, "teacher_dice": 0.5, "pseudo_label_dice": float("nan")}, {"round": 2, "teacher_dice": 0.75}]
    shown = texts(figures.label_quality(lines))
    assert {"round 1", "round 2", "50", "75"} <= set(shown)
    assert "nan" not in shown


def test_losses_have_a_panel_a_term_the_sum_first() -> None:
    lines = [{"kind": "train", "iteration": i, "annotation": 1 / i, "loss": 2 / i} for i in range(1, 9)]
    lines.append({"kind": "train", "iteration": 9, "annotation": 0.1, "loss": 0.2, "pseudo_label": 0.3})
    figure = figures.losses(lines)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["loss", "annotation", "pseudo label"]
    raw, mean = figure.axes[0].lines
    assert raw.get_ydata()[0] == pytest.approx(2.0)
    assert mean.get_ydata()[4] == pytest.approx(np.mean([2 / i for i in range(1, 9)] + [0.2]), abs=1e-4)


def test_long_runs_make_no_larger_figures() -> None:
    def lines(number: int) -> list[dict[str, float]]:
        return [{"iteration": float(i), "loss": float(np.sin(i))} for i in range(number)]

    assert len(svg(figures.losses(lines(20000)), "x")) < 3 * len(svg(figures.losses(lines(300)), "x"))


def test_timeline_names_scans_and_strategies() -> None:
    entries = [
        LedgerEntry(f"case_{i}", i // 2, 50 * (i // 2), ("random", "her")[i // 2], None, None, 9, "oracle")
        for i in range(4)
    ]
    shown = texts(figures.timeline(entries, 200))
    assert {"case_0", "case_3", "random", "her"} <= set(shown)


def test_colours_are_the_page_s_own() -> None:
    drawn = svg(figures.comparison({"a": [0.5]}), "comparison")
    assert "var(--series-1)" in drawn and "var(--ink)" in drawn and "var(--sans)" in drawn
    assert not re.search("#0[0-3a]0[0-9a]0[0-9]", drawn)
    assert 'id="comparison-figure_1"' in drawn


def test_scan_views_show_the_slices_asked_for(scan: tuple[np.ndarray, np.ndarray]) -> None:
    image, label = scan
    figure = scan_views(picture(image, {"x": label}, CUTS, (1, 1, 2), label))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["axial 12", "coronal 10", "sagittal 8"]
    low, high = np.percentile(image, (0.5, 99.7))
    expected = np.clip((image[:, :, 12].T - low) / (high - low), 0, 1)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    assert np.abs(shown / 255 - expected).max() < 0.005
    assert figure.axes[1].images[0].get_extent() == [0, 32, 0, 64]


def test_an_outline_lies_around_its_label() -> None:
    image = np.zeros((10, 12, 14), dtype=np.float32)
    label = np.full(image.shape, 255, dtype=np.uint8)
    label[:, :, 5] = 0
    label[2:6, 3:7, 5] = 1
    figure = scan_views(picture(image, {"x": label}, {"axial": 5, "coronal": 0, "sagittal": 0}, (1.0, 2.0, 1.0)))
    paths = [path for item in figure.axes[0].collections for path in item.get_paths()]
    corners = np.concatenate([path.vertices for path in paths if len(path.vertices)])
    assert corners.min(axis=0) == pytest.approx([2.0, 6.0])
    assert corners.max(axis=0) == pytest.approx([6.0, 14.0])
    assert not figure.axes[1].collections


def test_scan_views_are_small(scan: tuple[np.ndarray, np.ndarray]) -> None:
    image, label = scan
    drawn = svg(scan_views(picture(image, {"a": label, "b": label}, reference=label)), "views")
    assert len(drawn) < 150_000
    assert drawn.count("data:image/png") == 6


def test_a_flat_image_and_an_empty_label_are_fine() -> None:
    empty = np.zeros((5, 5, 5), dtype=np.uint8)
    figure = scan_views(picture(np.ones((5, 5, 5), np.float32), {"x": empty}, dict.fromkeys(CUTS, 2)))
    assert isinstance(figure, Figure)


def test_png_is_small_and_white(scan: tuple[np.ndarray, np.ndarray]) -> None:
    image, label = scan
    content = png(scan_views(picture(image, {"x": label}), PAPER))
    opened = Image.open(io.BytesIO(content)).convert("RGB")
    assert opened.width == 1300 and opened.getpixel((2, 2)) == (255, 255, 255)
    assert len(content) < 200_000
