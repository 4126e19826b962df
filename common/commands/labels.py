"""Commands about labels: ``python -m common labels``."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

from cyclopts import App

from common.commands.options import AnyPath

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from common.annotations.inspection import LabelReport

labels = App(name="labels", help="Look at the labels of a cohort, or say which classes were annotated in which scans.")


@labels.command
def check(cohort: AnyPath, run: AnyPath | None = None, json: AnyPath | None = None) -> None:
    """Say what every label holds: dense, whole slices, scribbles, which classes; and what is wrong with it.

    The exit status is 1 if anything is wrong.

    Args:
        cohort: Folder of the cohort.
        run: Folder of a run on this cohort, whose annotations are looked at instead.
        json: JSON file that gets the same, if wanted.
    """
    from common.annotations.inspection import inspect_labels
    from common.cohort import Cohort
    from common.files import write_json

    opened = Cohort.open(cohort)
    reports = inspect_labels(opened, run=run)
    print(table(reports, opened.labels))
    if json is not None:
        write_json(json, {"labels": opened.labels, "scans": [report.plain() for report in reports]})
    if any(report.problems for report in reports):
        sys.exit(1)


@labels.command
def classes(cohort: AnyPath, file: AnyPath) -> None:
    """Say in a cohort's datalist.json in which scans some classes only were annotated.

    Args:
        cohort: Folder of the cohort.
        file: JSON file with a list of classes for each scan, or for a pattern of names, as in
            {"site_a_*": ["liver"], "scan_007": ["liver", "spleen"]}; others stay as they are.
    """
    from common.files import read_json
    from common.prepare.annotated_classes import declare_classes

    declared = declare_classes(cohort, read_json(file))
    for numbers, count in Counter(scan.annotated_classes for scan in declared.scans if scan.label).items():
        names = "all classes" if numbers is None else ", ".join(declared.labels[number] for number in numbers)
        print(f"{count} scans: {names}")


def table(reports: Sequence[LabelReport], names: Mapping[int, str]) -> str:
    """What labels hold as a table, then hints and problems, and numbers of scans at the end.

    Args:
        reports: The labels.
        names: Name of each class 1..K.
    """
    rows = [("scan", "split", "annotated", "voxels of each class")]
    for report in reports:
        counts = ", ".join(f"{names[value]} {count:,}" for value, count in report.voxels.items() if count)
        rows.append((report.scan, report.split, report.text, counts))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for title, found in (
        ("Worth a look", [hint for report in reports for hint in report.hints]),
        ("Problems", [problem for report in reports for problem in report.problems]),
    ):
        lines += ["", f"{title}:", *(f"  {line}" for line in found)] if found else []
    return "\n".join([*lines, "", summary(reports, names)])


def summary(reports: Sequence[LabelReport], names: Mapping[int, str]) -> str:
    """Numbers of scans by what is annotated in them, and by class."""
    kinds = Counter("no label" if report.part is None else report.part.kind for report in reports)
    lines = [f"{len(reports)} scans: {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}"]
    if partial := sum(report.classes is not None for report in reports):
        lines.append(f"  {partial} of some classes only")
    for value, name in names.items():
        known = sum(report.part is not None and name in (report.classes or names.values()) for report in reports)
        seen = sum(report.voxels.get(value, 0) > 0 for report in reports)
        lines.append(f"  {value} {name}: annotated in {known} scans, found in {seen}")
    count = sum(len(report.problems) for report in reports)
    return "\n".join([*lines, f"{count or 'no'} problem{'s' * (count != 1)}"])
