"""Renders a story as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

import math
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from common.metrics import Interval
from common.report import figures
from common.report.drawing import PAGE, svg
from common.report.query_sections import asked_for, trusted
from common.report.results_sections import compared, cost, intervals, made_with
from common.report.scan_views import PIXELS, scan_views
from common.report.story import RunRecord, Story
from common.report.uncertainty_sections import uncertainty

LIMIT = 5_000_000
"""Largest size of a page in bytes."""


def page(story: Story) -> str:
    """Renders the whole page, with scans in less detail where it would be too large otherwise.

    Args:
        story: Content of the page; sections of which nothing is known are left out. All of its text is escaped.

    Raises:
        ValueError: If the page is larger than ``LIMIT`` in any case.
    """
    for pixels in (PIXELS, PIXELS // 2, PIXELS // 4, PIXELS // 8):
        html = _page(story, pixels)
        size = len(html.encode())
        if size < LIMIT:
            return html
    raise ValueError(
        f"expected a page of less than {LIMIT / 1e6:.0f} MB, found {size / 1e6:.1f} MB even with small pictures; "
        "report on fewer runs at once."
    )


def _page(story: Story, pixels: int) -> str:
    main, ledger = story.main, story.main.ledger
    scored = [run for run in story.runs if run.dice]
    curves = {run.title: points for run in story.runs if (points := _validation(run))}
    training = main.lines("train")
    rounds = [{**line, "round": number} for number, line in enumerate(main.lines("round"), 1)]
    measures = ("teacher_dice", "pseudo_label_dice")
    measured = [line for line in rounds if any(math.isfinite(line.get(name, math.nan)) for name in measures)]
    logged = max((line["iteration"] for line in main.log), default=0)
    iterations = int(max(logged, main.settings.get("max_iterations", 0) or 0))
    last = max(iterations, *(entry.iteration for entry in ledger), 1) if ledger else 1
    return ENVIRONMENT.get_template("page.html.jinja").render(
        story=story,
        main=main,
        scored=scored,
        facts=_facts(story),
        iterations=iterations,
        rounds=rounds,
        measured=measured,
        colours=PAGE,
        query=asked_for(main),
        trust=trusted(main),
        pixels=pixels,
        intervals={run.title: intervals(run) for run in scored},
        compared=compared(scored),
        costs={run.title: cost(run) for run in story.runs},
        uncertainty=uncertainty(main),
        made=made_with(story.runs),
        comparison=figures.comparison({run.title: [*run.dice.values()] for run in scored}) if len(scored) > 1 else None,
        validation=figures.validation(curves, [line["iteration"] for line in rounds]) if curves else None,
        losses=figures.losses(training) if training else None,
        label_quality=figures.label_quality(measured) if measured else None,
        timeline=figures.timeline(ledger, last) if ledger else None,
    )


def _facts(story: Story) -> dict[str, Any]:
    """What was run, by name."""
    facts: dict[str, Any] = {}
    if story.cohort is not None:
        facts |= {f"{split} scans": str(number) for split, number in story.cohort.counts.items() if number}
        if story.cohort.shape is not None:
            facts["first scan, voxels"] = " × ".join(str(size) for size in story.cohort.shape)
        if story.cohort.spacing is not None:
            facts["voxel, mm"] = " × ".join(f"{size:.3g}" for size in story.cohort.spacing)
    return facts | {name.replace("_", " "): value for name, value in story.main.settings.items()} | dict(story.notes)


def _validation(run: RunRecord) -> list[tuple[int, float]]:
    """The iterations at which the run was validated, each with the Dice (0..1)."""
    points = []
    for line in run.lines("validation"):
        dice = [value for name, value in line.items() if name.endswith("dice") and math.isfinite(value)]
        points += [(line["iteration"], value) for value in dice[:1]]
    return points


def _score(value: float | None, measure: str) -> str:
    """Writes a score with the digits of its measure; a dash where it is not defined."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{100 * value:.1f}" if measure in ("dice", "jaccard") else f"{value:.2f}"


def _between(interval: Interval | None, measure: str = "dice") -> str:
    """Writes an interval with the digits of its measure; nothing where there is none."""
    return "" if interval is None else f"{_score(interval.low, measure)} to {_score(interval.high, measure)}"


def _signed(value: float) -> str:
    """Writes a difference of Dice in points, with its sign."""
    return f"{100 * value:+.1f}".replace("-", "−")


def _p_value(value: float) -> str:
    """Writes a p-value with two digits that count."""
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"


def _duration(seconds: float | None) -> str:
    """Writes a time in hours, minutes and seconds."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"


def _gigabytes(size: float | None) -> str:
    """Writes a number of bytes in GB; a dash where it is not known."""
    return "–" if size is None else f"{size / 1e9:.2f} GB"


def _significant(value: float | None) -> str:
    """Writes four digits of a number; a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _plain(value: object) -> str:
    """Writes a setting: integers with thousands apart, sizes with a cross between them."""
    if isinstance(value, (list, tuple)):
        return " × ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _count(number: int, noun: str) -> str:
    """Writes a number of things: ``1 scan``, ``2 scans``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _in_sentence(title: str) -> str:
    """Adapts a title to a place within a sentence: an ordinary word loses its capital, an acronym keeps it."""
    return title[0].lower() + title[1:] if title[1:2].islower() else title


ENVIRONMENT = Environment(
    loader=PackageLoader("common.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters |= {
    "between": _between,
    "duration": _duration,
    "gigabytes": _gigabytes,
    "p_value": _p_value,
    "signed": _signed,
    "count": _count,
    "in_sentence": _in_sentence,
    "plain": _plain,
    "score": _score,
    "significant": _significant,
    "svg": svg,
    "views": scan_views,
}
