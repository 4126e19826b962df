"""From a run's folder to its page."""

from __future__ import annotations

from pathlib import Path

from common.files import replacing
from common.report.figures import png
from common.report.page import page
from common.report.picture import picture
from common.report.reading import read_story


def write_report(
    output_dir: str | Path, dataset_dir: str | Path | None = None, picture_file: str | Path | None = None
) -> Path:
    """Writes ``report.html`` into a run's folder, or into the folder above several runs.

    Args:
        output_dir: see :py:func:`common.report.read_story`.
        dataset_dir: of the cohort; by default ``cohort`` or ``phantom`` in ``output_dir``, if one is there.
        picture_file: where to write the page's main picture as a PNG, if wanted.

    Returns:
        The page's path.

    Raises:
        FileNotFoundError: if there is no run, or no cohort in ``dataset_dir``.
        ValueError: if a file of the run is damaged, or a picture is wanted but nothing is there to be shown.
    """
    story = read_story(output_dir, dataset_dir)
    target = Path(output_dir) / "report.html"
    with replacing(target) as temporary:
        temporary.write_text(page(story), encoding="utf-8")
    if picture_file is not None:
        with replacing(picture_file) as temporary:
            temporary.write_bytes(png(picture(story)))
    return target
