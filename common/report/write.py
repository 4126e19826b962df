"""Writes the page of a run into its folder."""

from __future__ import annotations

from pathlib import Path

from common.files import replacing
from common.report.drawing import png
from common.report.page import page
from common.report.picture import picture
from common.report.reading import read_story


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
    story = read_story(output_dir, dataset_dir)
    target = Path(output_dir) / "report.html"
    with replacing(target) as temporary:
        temporary.write_text(page(story), encoding="utf-8")
    if picture_file is not None:
        with replacing(picture_file) as temporary:
            temporary.write_bytes(png(picture(story)))
    return target
