"""Writes the page of a run, or of several that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.files import replacing
from common.report.drawing import png
from common.report.page import page
from common.report.picture import picture
from common.report.reading import read_comparison, read_story
from common.report.story import Story


def write_report(
    output_dir: str | Path, dataset_dir: str | Path | None = None, picture_file: str | Path | None = None
) -> Path:
    """Writes ``report.html`` into a run's folder, or into the folder above several runs.

    Args:
        output_dir: Folder of a run, or the folder above several; see :py:func:`common.report.read_story`.
        dataset_dir: Folder of the cohort, for the pictures; its default is that of :py:func:`common.report.read_story`.
        picture_file: PNG file that the page's main picture is written to, if wanted.

    Returns:
        Path of the page.

    Raises:
        FileNotFoundError: If there is no run, or no cohort in ``dataset_dir``.
        ValueError: If a file of the run is damaged, or a picture is wanted but no held-out scan has a prediction.
    """
    return _write(read_story(output_dir, dataset_dir), Path(output_dir) / "report.html", picture_file)


def write_comparison(
    runs: Sequence[str | Path],
    output_dir: str | Path | None = None,
    dataset_dir: str | Path | None = None,
    picture_file: str | Path | None = None,
) -> Path:
    """Writes ``comparison.html``, which compares runs on the scans that all of them were evaluated on.

    Args:
        runs: Folders of at least two evaluated runs; the first is shown in full.
        output_dir: Folder that gets the page; that of the first run by default.
        dataset_dir: As for :py:func:`write_report`.
        picture_file: As for :py:func:`write_report`.

    Returns:
        Path of the page.

    Raises:
        FileNotFoundError: If a folder holds no run, or there is no cohort in ``dataset_dir``.
        ValueError: If runs cannot be compared, see :py:func:`common.report.read_comparison`, or a file is damaged.
    """
    story = read_comparison(runs, dataset_dir)
    return _write(story, Path(runs[0] if output_dir is None else output_dir) / "comparison.html", picture_file)


def _write(story: Story, target: Path, picture_file: str | Path | None) -> Path:
    with replacing(target) as temporary:
        temporary.write_text(page(story), encoding="utf-8")
    if picture_file is not None:
        with replacing(picture_file) as temporary:
            temporary.write_bytes(png(picture(story)))
    return target
