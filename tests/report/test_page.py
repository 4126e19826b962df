"""The page says what its story says, and leaves out what is not known."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from common.annotations import LedgerEntry
from common.metrics import MEASURES
from common.report import CohortSummary, Picture, RunRecord, ScanScore, Story, page
from tests.report.pages import Text, entry


def score(scan: str, dice: float, *, missing: bool = False, label: str = "left atrium") -> ScanScore:
    values = dict.fromkeys(MEASURES, float("nan")) | {"dice": dice, "jaccard": dice / (2 - dice)}
    if not missing:
        values |= {"hd95_voxel": 4.0, "asd_voxel": 1.25, "hd95_mm": 2.5, "asd_mm": 0.78125}
    return ScanScore(scan, label, values, missing)


RUN = RunRecord(
    name="fmabs",
    title="FM-ABS",
    settings={"max_iterations": 2000, "roi_size": [48, 48, 32]},
    log=(
        {"kind": "train", "iteration": 10, "loss": 1.5, "annotation": 0.75},
        {"kind": "train", "iteration": 20, "loss": float("nan"), "annotation": 0.5},
        {"kind": "validation", "iteration": 20, "val_mean_dice": 0.5},
        {"kind": "round", "iteration": 20, "teacher_dice": 0.6125, "pseudo_label_dice": 0.7375},
    ),
    ledger=(entry("case_1", 0), entry("case_2", 1, 0.98765)),
    scores=(score("case_8", 0.8), score("case_9", 0.7)),
)


def test_the_evaluation_table_has_every_score_and_the_means() -> None:
    rows = Text(page(Story("Title", (RUN,)))).rows
    assert ["case_8", "80.0", "66.7", "4.00", "1.25", "2.50", "0.78", ""] in rows
    assert ["case_9", "70.0", "53.8", "4.00", "1.25", "2.50", "0.78", ""] in rows
    mean = next(row for row in rows if row[0].startswith("mean"))
    assert mean[1] == "75.0 ± 7.1"
    assert mean[3] == "4.00 ± 0.00"


def test_scores_on_the_scans_that_chose_the_checkpoint_say_so() -> None:
    note = "The checkpoint was chosen by its scores on these scans"
    assert note not in Text(page(Story("Title", (RUN,)))).text
    assert note in Text(page(Story("Title", (replace(RUN, chosen_on_scored=True),)))).text


def test_the_headline_compares_runs() -> None:
    other = RunRecord(name="supervised", title="Supervised", scores=(score("case_8", 0.55), score("case_9", 0.65)))
    text = Text(page(Story("Title", (RUN, other)))).text
    assert "75.0 %" in text and "60.0 %" in text
    assert "FM-ABS ends 15.0 points of Dice ahead of supervised." in text
    assert "6 annotated slices, in 2 scans" in text


def test_a_run_that_is_behind_is_said_to_be_behind() -> None:
    other = RunRecord(name="supervised", title="Supervised", scores=(score("case_8", 0.9), score("case_9", 0.8)))
    assert "FM-ABS ends 10.0 points of Dice behind supervised." in Text(page(Story("Title", (RUN, other)))).text


def test_a_missed_object_counts_in_dice_and_not_in_distances() -> None:
    run = RunRecord(name="x", title="x", scores=(score("a", 0.8), score("b", 0.0, missing=True)))
    rows = Text(page(Story("Title", (run,)))).rows
    assert ["b", "0.0", "0.0", "–", "–", "–", "–", "missing"] in rows
    mean = next(row for row in rows if row[0].startswith("mean"))
    assert mean[1].startswith("40.0 ±") and mean[3] == "4.00" and mean[-1] == "1 missing"


def test_several_classes_are_named_and_averaged_by_scan() -> None:
    run = RunRecord(
        name="x", title="x", scores=(score("a", 0.9, label="one"), score("a", 0.5, label="two"), score("b", 0.3))
    )
    rows = Text(page(Story("Title", (run,)))).rows
    assert [row[0] for row in rows[-4:-1]] == ["a, one", "a, two", "b, left atrium"]
    assert next(row for row in rows if row[0].startswith("mean ±"))[1].startswith("50.0 ±")


def test_the_ledger_tells_every_scan() -> None:
    rows = Text(page(Story("Title", (RUN,)))).rows
    slices = "axial 11 · coronal 12 · sagittal 13"
    assert ["case_1", "0", "0", "random", "–", slices, "1,234", "folder", "2026-01-02 03:04:05"] in rows
    assert ["case_2", "1", "100", "her", "0.9877", slices, "1,234", "folder", "2026-01-02 03:04:05"] in rows


def test_rounds_and_settings() -> None:
    cohort = CohortSummary(
        "hearts", ("left atrium",), {"training": 5, "validation": 0, "test": 2}, (48, 48, 40), (1, 1, 1.5)
    )
    shown = Text(page(Story("Title", (RUN,), cohort, notes={"machine": "two cores"})))
    assert ["1", "20", "61.3", "73.8"] in shown.rows
    for words in ("48 × 48 × 32", "2,000", "48 × 48 × 40", "1 × 1 × 1.5", "machine two cores", "learnt from 5 scans"):
        assert words in shown.text
    assert "validation scans" not in shown.text.replace("Mean Dice on the validation scans", "")


def test_what_is_not_known_is_left_out() -> None:
    shown = Text(page(Story("Nothing yet", (RunRecord("run", "A run"),))))
    assert shown.titles == ["Nothing yet"]
    assert "figure" not in shown.tags and "table" not in shown.tags
    only_ledger = Text(page(Story("Title", (RunRecord("run", "A run", ledger=(entry("case_1", 0),)),))))
    assert only_ledger.titles == ["Title", "The annotated scans"]


def test_sections_of_a_whole_run() -> None:
    titles = Text(page(Story("Title", (RUN,)))).titles
    assert titles == [
        "Title",
        "What was run",
        "How it learnt",
        "Pseudo-labels",
        "The annotated scans",
        "Evaluation, scan by scan",
        "FM-ABS",
    ]


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a & b", '"><b>', "$x^2$", "it's", "{{ 7 * 7 }}"])
def test_text_is_escaped(text: str) -> None:
    run = RunRecord(
        name=text,
        title=text,
        settings={text: text},
        ledger=(LedgerEntry(text, 0, 0, text, None, None, 1, text, text),),
        scores=(ScanScore(text, text, RUN.scores[0].values), ScanScore("b", text, RUN.scores[0].values)),
    )
    image = np.zeros((4, 4, 4), dtype=np.float32)
    picture = Picture(
        text, "prediction", image, None, {text: image.astype(np.uint8)}, dict.fromkeys(VIEWS, 1), (1, 1, 1)
    )
    cohort = CohortSummary(text, (text,), {"training": 1})
    html = page(Story(text, (run, run), cohort, (picture,), {text: text}))
    shown = Text(html)
    assert "script" not in shown.tags and "b" not in shown.tags
    assert shown.titles[0] == text
    assert [text, "b"] == [row[0].split(",")[0] for row in shown.rows[-3:-1]]


VIEWS = ("axial", "coronal", "sagittal")


def test_the_page_needs_nothing_else() -> None:
    other = RunRecord(name="supervised", title="Supervised", log=RUN.log, scores=RUN.scores)
    html = page(Story("Title", (RUN, other)))
    shown = Text(html)
    assert all(address.startswith(("#", "data:image/")) for address in shown.addresses)
    assert "script" not in shown.tags and "link" not in shown.tags
    assert not re.search(r"url\((?!#|data:)", html) and "@import" not in html
    assert len(shown.identifiers) == len(set(shown.identifiers))
    inside = {address[1:] for address in shown.addresses if address.startswith("#")}
    inside |= set(re.findall(r"url\(#([^)]+)\)", html))
    assert inside <= set(shown.identifiers)


def test_the_same_story_gives_the_same_page() -> None:
    story = Story("Title", (RUN,), written="2026-01-02T03:04+00:00")
    assert page(story) == page(story)
