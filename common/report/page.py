"""A story as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

import numpy as np

from common.metrics import MEASURES
from common.report import figures
from common.report.elements import Cell, count, figure, framed, table
from common.report.query_sections import asked_for, trusted
from common.report.story import Picture, RunRecord, Story
from common.report.stylesheet import STYLESHEET

COLUMNS = {
    "dice": "Dice [%]",
    "jaccard": "Jaccard [%]",
    "hd95_voxel": "95HD [voxel]",
    "asd_voxel": "ASD [voxel]",
    "hd95_mm": "95HD [mm]",
    "asd_mm": "ASD [mm]",
}
PERCENT = ("dice", "jaccard")
ROUND_COLUMNS = {"teacher_dice": "teacher, Dice [%]", "pseudo_label_dice": "pseudo-labels, Dice [%]"}


def page(story: Story) -> str:
    """The whole page.

    Args:
        story: what to tell; sections of which nothing is known are left out. All of its text is escaped.
    """
    parts = [
        _opening(story),
        _settings(story),
        _held_out(story),
        _learning(story),
        asked_for(story.main),
        trusted(story.main),
        _labels(story),
        _annotated(story),
        _evaluation(story),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(story.title)}</title>\n<style>{STYLESHEET}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<footer>Written {escape(story.written)} by <code>python -m common report</code>. "
        "For research only, not for diagnosis.</footer>\n</main>\n</body>\n</html>\n"
    )


def _opening(story: Story) -> str:
    main = story.main
    scored = [run for run in story.runs if run.scores]
    headline = []
    for place, run in enumerate(story.runs):
        if run in scored and place < 4:
            dice = run.mean("dice")
            headline.append(_big(f"{100 * dice:.1f}", "%", f"Dice, {run.title}", f"series-{place + 1}"))
    slices = sum(len(entry.slices or {}) for entry in main.ledger)
    if slices:
        headline.append(_big(str(slices), "", f"annotated slices, in {count(len(main.ledger), 'scan')}"))
    elif main.ledger:
        noun = "scan" if len(main.ledger) == 1 else "scans"
        headline.append(_big(str(len(main.ledger)), "", f"densely annotated {noun}"))
    iterations = _iterations(main)
    if iterations and len(headline) < 4:
        headline.append(_big(f"{iterations:,}", "", "iterations"))
    html = f'<header>\n<p class="kicker">{escape(_kicker(story))}</p>\n<h1>{escape(story.title)}</h1>\n'
    html += f'<p class="lead">{escape(_lead(story))}</p>\n</header>\n'
    if headline:
        html += f'<div class="figures">{"".join(headline)}</div>\n'
    if len(scored) > 1:
        by_run = {run.title: run.by_scan("dice") for run in scored}
        html += figure(figures.comparison(by_run), "comparison", _comparison_caption(story))
    return html


def _kicker(story: Story) -> str:
    return "Training report" if story.cohort is None else f"Training report · cohort {story.cohort.name}"


def _lead(story: Story) -> str:
    main, cohort = story.main, story.cohort
    sentences = []
    if cohort is not None:
        named = ", ".join(cohort.labels)
        sentences.append(f"Segmentation of {named}, learnt from {count(cohort.counts.get('training', 0), 'scan')}.")
    if main.ledger:
        rounds = sorted({entry.round for entry in main.ledger} - {0})
        first = sum(entry.round == 0 for entry in main.ledger)
        kind = "cross-labelled" if all(entry.slices for entry in main.ledger) else "annotated"
        text = f"{count(first, 'scan')} {'was' if first == 1 else 'were'} {kind} at the start"
        if rounds:
            text += f", {len(main.ledger) - first} more in {count(len(rounds), 'query round')}"
        sentences.append(text + ".")
    scores = [run for run in story.runs if run.scores]
    if len(scores) > 1:
        gap = 100 * (scores[0].mean("dice") - scores[1].mean("dice"))
        word = "ahead of" if gap >= 0 else "behind"
        sentences.append(f"{scores[0].title} ends {abs(gap):.1f} points of Dice {word} {_lower(scores[1].title)}.")
    return " ".join(sentences)


def _comparison_caption(story: Story) -> str:
    scans = len({score.scan for score in story.main.scores})
    return f"Dice on {count(scans, 'held-out scan')}. The bar ends at the mean, which stands on the right."


def _settings(story: Story) -> str:
    items: dict[str, str] = {}
    cohort = story.cohort
    if cohort is not None:
        items |= {f"{split} scans": str(count) for split, count in cohort.counts.items() if count}
        if cohort.shape is not None:
            items["first scan, voxels"] = " × ".join(str(size) for size in cohort.shape)
        if cohort.spacing is not None:
            items["voxel, mm"] = " × ".join(f"{size:.3g}" for size in cohort.spacing)
    items |= {name.replace("_", " "): _plain(value) for name, value in story.main.settings.items()}
    items |= story.notes
    if not items:
        return ""
    pairs = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in items.items())
    return f"<section>\n<h2>What was run</h2>\n<dl>{pairs}</dl>\n</section>"


def _held_out(story: Story) -> str:
    shown = [picture for picture in story.pictures if picture.kind == "prediction"]
    if not shown:
        return ""
    html = "<section>\n<h2>Held-out scans</h2>\n"
    for number, picture in enumerate(shown):
        titles = list(picture.outlines)
        keys = [_key(figures.PAGE.reference, "reference")] if picture.reference is not None else []
        keys += [_key(_outline_colour(place), _lower(title)) for place, title in enumerate(titles)]
        caption = f"{escape(_picture_title(story.main, picture.scan, len(shown), number))} {' '.join(keys)}"
        html += _picture(picture, f"held-out-{number}", caption)
    return html + "</section>"


def _picture_title(run: RunRecord, scan: str, shown: int, number: int) -> str:
    dice = [score.values["dice"] for score in run.scores if score.scan == scan]
    if not dice:
        return f"{scan}."
    which = ("The median scan" if number == 0 else "The worst scan") if shown > 1 else "Scan"
    return f"{which} of {run.title}: {scan}, Dice {100 * float(np.mean(dice)):.1f} %."


def _learning(story: Story) -> str:
    curves = {}
    for run in story.runs:
        points = [(line["iteration"], value) for line in run.lines("validation") if (value := _dice(line)) is not None]
        if points:
            curves[run.title] = points
    training = story.main.lines("train")
    if not curves and not training:
        return ""
    html = "<section>\n<h2>How it learnt</h2>\n"
    if curves:
        rounds = [line["iteration"] for line in story.main.lines("round")]
        caption = "Mean Dice on the validation scans."
        if rounds:
            caption += f" Upright lines: rounds of {story.main.title}, in which pseudo-labels are renewed."
        html += figure(figures.validation(curves, rounds), "validation", caption)
    if training:
        caption = (
            f"{story.main.title}: the loss and its terms, unweighted, every few iterations, with their running mean."
        )
        html += figure(figures.losses(training), "losses", caption)
    return html + "</section>"


def _dice(line: Mapping[str, float]) -> float | None:
    """The validation Dice in a line of the log, or None."""
    return next((value for name, value in line.items() if name.endswith("dice") and math.isfinite(value)), None)


def _labels(story: Story) -> str:
    rounds = [{**line, "round": number} for number, line in enumerate(story.main.lines("round"), 1)]
    known = [line for line in rounds if any(math.isfinite(line.get(name, math.nan)) for name in ROUND_COLUMNS)]
    shown = [picture for picture in story.pictures if picture.kind == "pseudo_label"]
    if not known and not shown:
        return ""
    html = "<section>\n<h2>Pseudo-labels</h2>\n"
    if story.main.selection:
        html += (
            "<p>At each round the teacher’s prediction becomes the pseudo-label of a trusted scan, "
            "without its voxels of low confidence.</p>\n"
        )
    elif rounds:
        html += (
            "<p>At each round the teacher’s prediction prompts the generalist, slice by slice in three views; "
            "its masks are fused into the labels that the student learns from next.</p>\n"
        )
    else:
        html += "<p>Labels made by a model before the training, from which it learns on unlabelled scans.</p>\n"
    if known:
        caption = (
            "Dice on the voxels that experts had annotated by then: of the teacher, "
            "and of the pseudo-labels made from it."
        )
        html += figure(figures.label_quality(known), "label-quality", caption)
    if known:
        html += table(
            ["round", "iteration", *ROUND_COLUMNS.values()],
            [
                [f"{line['round']:.0f}", f"{line['iteration']:,}"]
                + [_number(line.get(name, math.nan), "dice") for name in ROUND_COLUMNS]
                for line in known
            ],
        )
    for number, picture in enumerate(shown):
        keys = [
            _key(
                _outline_colour(0),
                "pseudo-label of the last round" if rounds or story.main.selection else "pseudo-label",
            )
        ]
        if picture.reference is not None:
            keys.append(_key(figures.PAGE.reference, "reference, never seen in training"))
        html += _picture(picture, f"pseudo-label-{number}", f"{escape(picture.scan)}. {' '.join(keys)}")
    return html + "</section>"


def _annotated(story: Story) -> str:
    ledger = story.main.ledger
    if not ledger:
        return ""
    html = "<section>\n<h2>The annotated scans</h2>\n"
    iterations = max(_iterations(story.main), *(entry.iteration for entry in ledger), 1)
    caption = "From when on each scan was annotated, and the strategy that asked for it."
    html += figure(figures.timeline(ledger, iterations), "timeline", caption)
    strategies = list(dict.fromkeys(entry.strategy for entry in ledger))
    rows: list[list[Cell]] = []
    for entry in ledger:
        number = strategies.index(entry.strategy) % 4 + 1
        slices = "dense" if entry.slices is None else " · ".join(f"{view} {i}" for view, i in entry.slices.items())
        rows.append(
            [
                entry.scan,
                str(entry.round),
                f"{entry.iteration:,}",
                (f'<span class="dot series-{number}"></span>', entry.strategy),
                "–" if entry.score is None else f"{entry.score:.4g}",
                slices,
                f"{entry.voxels:,}",
                entry.annotator,
                entry.time.replace("+00:00", "").replace("T", " "),
            ]
        )
    names = ["scan", "round", "iteration", "strategy", "score", "slices", "voxels", "annotator", "time (UTC)"]
    html += table(names, rows, text=(3, 5, 7, 8))
    for number, picture in enumerate(picture for picture in story.pictures if picture.kind == "cross_label"):
        caption = (
            f"The cross-label of {escape(picture.scan)}: one slice a view, and nothing else, is annotated. "
            f"{_key(_outline_colour(0), 'annotation')} {_key(figures.PAGE.reference, 'where the other two slices cut')}"
        )
        html += _picture(picture, f"cross-label-{number}", caption, cross=True)
    return html + "</section>"


def _evaluation(story: Story) -> str:
    scored = [run for run in story.runs if run.scores]
    if not scored:
        return ""
    html = "<section>\n<h2>Evaluation, scan by scan</h2>\n"
    html += (
        "<p>95HD is the 95th percentile of the surface distances in both directions, ASD the mean distance from the "
        "predicted to the reference surface. A scan without any prediction has no distances; it counts as missing, "
        "and with Dice 0.</p>\n"
    )
    for run in scored:
        several = len({score.label for score in run.scores}) > 1
        rows: list[list[Cell]] = [
            [
                score.scan + (f", {score.label}" if several else ""),
                *(_number(score.values.get(metric, math.nan), metric) for metric in MEASURES),
                ("", "missing", "missing") if score.missing else "",
            ]
            for score in run.scores
        ]
        missing = sum(score.missing for score in run.scores)
        means = ["mean ± standard deviation"]
        for metric in MEASURES:
            mean, deviation = _number(run.mean(metric), metric), _number(run.deviation(metric), metric)
            means.append(mean if deviation == "–" else f"{mean} ± {deviation}")
        html += f"<h3>{escape(run.title)}</h3>\n"
        html += table(["scan", *COLUMNS.values(), ""], rows, last=[*means, f"{missing} missing" if missing else ""])
    return html + "</section>"


def _big(number: str, unit: str, what: str, style: str = "") -> str:
    small = f"<small>{escape(unit)}</small>" if unit else ""
    large = f'<span class="number {style}">{escape(number)}{small}</span>'
    return f'<div>{large}<span class="what">{escape(what)}</span></div>'


def _picture(picture: Picture, name: str, caption_html: str, *, cross: bool = False) -> str:
    views = figures.scan_views(
        picture.image,
        picture.outlines,
        picture.slices,
        picture.spacing,
        reference=picture.reference,
        cross=cross,
    )
    return framed(views, name, caption_html)


def _key(colour: str, text: str) -> str:
    return f'<span class="key" style="border-color:{colour}"></span>{escape(text)}'


def _outline_colour(place: int) -> str:
    return figures.PAGE.outlines[place % len(figures.PAGE.outlines)]


def _number(value: float, metric: str) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{100 * value:.1f}" if metric in PERCENT else f"{value:.2f}"


def _plain(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " × ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _lower(title: str) -> str:
    """A title within a sentence: an ordinary word loses its capital, an acronym keeps it."""
    return title[0].lower() + title[1:] if title[1:2].islower() else title


def _iterations(run: RunRecord) -> int:
    logged = max((line["iteration"] for line in run.log), default=0)
    return int(max(logged, run.settings.get("max_iterations", 0) or 0))
