"""Reads the folder of a run, or of several runs, into a story; what is missing there is left out."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.annotations import AnnotationStore, Ledger
from common.cohort import Cohort, Scan, read_labels_ras, read_ras
from common.cohort.cohort import DATALIST
from common.cohort.volumes import VIEWS, spacing
from common.files import NIFTI_SUFFIXES, RECORD, read_json
from common.handlers import read_log
from common.metrics.uncertainty import FILE as UNCERTAINTY
from common.report.comparing import compare
from common.report.results import read_all_sessions, read_facts, read_scores, read_uncertainty
from common.report.story import CohortSummary, Picture, QueriedScan, RunRecord, Story

TITLES = {
    "fmabs": "FM-ABS",
    "fmabs_la": "FM-ABS",
    "fmabs_her": "FM-ABS, HER queries",
    "fmabs_random": "FM-ABS, random scans",
    "mean_teacher": "Mean teacher",
    "supervised": "Supervised",
    "dense": "Supervised, dense labels",
    "assft": "ASSFT",
    "assft_adapt": "ASSFT",
}
QUERY_COLUMNS = ("scan", "score", "chosen")
RUN_FILES = ("log.jsonl", "ledger.json", "query.csv")
SCORES = "evaluation/metrics.csv"
PRETRAINING = "source"
"""Folder of a run's own pre-training, which is not a run to report on."""


def read_story(output_dir: str | Path, dataset_dir: str | Path | None = None) -> Story:
    """Reads a run's folder, or a folder whose subfolders are runs on one cohort; what is missing is left out.

    Of several runs, the first one that had rounds is shown in full.

    Args:
        output_dir: Folder of a run (with ``log.jsonl``, ``ledger.json`` or ``query.csv``), or the folder above several.
        dataset_dir: Folder of the cohort. By default ``cohort`` or ``phantom`` in ``output_dir``, or the one that the
            command which made the run was given, if it exists.

    Raises:
        FileNotFoundError: If there is no run.
        ValueError: If a file of a run is damaged.
    """
    folder = Path(output_dir)
    folders = _run_folders(folder)
    runs = [read_run(path) for path in folders]
    order = sorted(range(len(runs)), key=lambda index: (not runs[index].lines("round"), index))
    runs, folders = [runs[index] for index in order], [folders[index] for index in order]
    cohort = _find_cohort([folder, *folders], dataset_dir)
    summary = None if cohort is None else summarise(cohort)
    name = runs[0].title if summary is None else f"{runs[0].title} on {summary.name}"
    pictures = () if cohort is None else tuple(_pictures(cohort, folders, runs))
    return Story(name, tuple(runs), summary, pictures, _notes(folder))


def read_comparison(folders: Sequence[str | Path], dataset_dir: str | Path | None = None) -> Story:
    """Reads runs that are to be compared, in their order; the first is shown in full.

    Args:
        folders: Folder of each run, or a folder above several of which one was evaluated.
        dataset_dir: As for :py:func:`read_story`.

    Raises:
        FileNotFoundError: If a folder holds no run.
        ValueError: If a folder is given twice, a run was not evaluated, or runs cannot be compared, see
            :py:func:`common.report.compare`; or if a file of a run is damaged.
    """
    paths = [_evaluated(Path(folder)) for folder in folders]
    known: dict[Path, str | Path] = {}
    for path, folder in zip(paths, folders, strict=True):
        if (other := known.get(path.resolve())) is not None:
            also = "" if str(other) == str(folder) else f" (also as {other})"
            raise ValueError(f"{folder}{also}: expected each run once, found it twice; leave one out.")
        known[path.resolve()] = folder
    runs = [read_run(path) for path in paths]
    titles = Counter(run.title for run in runs)
    runs = [
        run if titles[run.title] == 1 else replace(run, title=f"{run.title} ({folder})")
        for run, folder in zip(runs, folders, strict=True)
    ]
    compare(runs)
    cohort = _find_cohort(paths, dataset_dir)
    summary = None if cohort is None else summarise(cohort)
    name = f"{', '.join(run.title for run in runs[:-1])} and {runs[-1].title}"
    pictures = () if cohort is None else tuple(_pictures(cohort, paths, runs))
    return Story(name if summary is None else f"{name} on {summary.name}", tuple(runs), summary, pictures)


def read_run(folder: str | Path) -> RunRecord:
    """Reads one run's folder; what is missing there stays empty.

    Raises:
        ValueError: If a file is damaged.
    """
    folder = Path(folder)
    log, evaluation = folder / "log.jsonl", folder / "evaluation"
    facts = read_facts(evaluation / "metrics.json")
    inferred, _ = read_uncertainty(folder / "predictions" / UNCERTAINTY)
    evaluated, reliability = read_uncertainty(evaluation / UNCERTAINTY)
    ledger = Ledger(folder / "ledger.json")
    return RunRecord(
        name=folder.name,
        title=_title(folder),
        settings=_settings(folder / "checkpoint.pt"),
        log=tuple(read_log(log)) if log.is_file() else (),
        ledger=tuple(ledger.entries),
        scores=tuple(read_scores(folder / SCORES)),
        chosen_on_scored=facts.get("checkpoint_chosen_on_this_split") is True,
        query=tuple(read_query(folder / "query.csv")),
        selection=tuple(ledger.trust_entries),
        split=facts.get("split"),
        uncertainty=inferred | evaluated,
        reliability=tuple(reliability),
        sessions=tuple(read_all_sessions(folder)),
    )


def read_query(path: str | Path) -> list[QueriedScan]:
    """Reads ``query.csv`` as :py:class:`common.query.one_shot.SampleQuery` writes it, in its order.

    The columns are ``scan, score, <numbers…>, chosen``.

    Returns:
        One entry per scan; empty if there is no such file.

    Raises:
        ValueError: If a column is missing, a cell is not a number, or the picks are not numbered 1, 2, ….
    """
    path = Path(path)
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            rows, columns = list(table), list(table.fieldnames or ())
        if missing := [name for name in QUERY_COLUMNS if name not in columns]:
            raise ValueError(f"no {missing[0]}")
        scans = [
            QueriedScan(
                scan=row["scan"],
                score=float(row["score"] or "nan"),
                numbers={name: float(row[name] or "nan") for name in columns if name not in QUERY_COLUMNS},
                chosen=int(row["chosen"]),
            )
            for row in rows
        ]
    except (TypeError, ValueError, csv.Error) as error:
        raise ValueError(
            f"{path}: expected the columns scan, score, numbers and chosen, found something else ({error})."
        ) from error
    picks = sorted(scan.chosen for scan in scans if scan.chosen)
    if picks != list(range(1, len(picks) + 1)):
        raise ValueError(
            f"{path}: expected chosen to number the picks from 1 on and to be 0 for other scans, found {picks}."
        )
    return scans


def summarise(cohort: Cohort) -> CohortSummary:
    """Collects what a page says about a cohort."""
    shape = millimetres = None
    if cohort.training:
        try:
            voxels, affine = read_ras(cohort.training[0].image)
            shape, millimetres = voxels.shape, tuple(float(side) for side in spacing(affine))
        except (FileNotFoundError, ValueError):
            pass
    counts = {split: len(getattr(cohort, split)) for split in ("training", "validation", "test")}
    return CohortSummary(cohort.name, tuple(cohort.labels.values()), counts, shape, millimetres)


def widest_slices(label: np.ndarray) -> dict[str, int]:
    """Finds the slice of each view with the most foreground; the middle one if there is none.

    Args:
        label: Label map ``[H, W, D]`` in RAS orientation; 255 does not count as foreground.
    """
    foreground = (label > 0) & (label < 255)
    chosen = {}
    for view, axis in VIEWS.items():
        sizes = foreground.sum(axis=tuple(other for other in range(3) if other != axis))
        chosen[view] = int(sizes.argmax()) if sizes.any() else label.shape[axis] // 2
    return chosen


def _run_folders(folder: Path) -> list[Path]:
    def is_run(path: Path) -> bool:
        return any((path / name).is_file() for name in RUN_FILES)

    if is_run(folder):
        return [folder]
    below = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [path for path in below if path.name != PRETRAINING and is_run(path)]
    if not found:
        raise FileNotFoundError(f"{folder}: expected a run's folder, with {' or '.join(RUN_FILES)}, found none.")
    return found


def _evaluated(folder: Path) -> Path:
    """The run in a folder that was evaluated: the folder itself, or the only such run in it."""
    found = _run_folders(folder)
    evaluated = [path for path in found if (path / SCORES).is_file()]
    if len(evaluated) == 1:
        return evaluated[0]
    if evaluated:
        names = ", ".join(path.name for path in evaluated)
        raise ValueError(f"{folder}: expected one evaluated run, found several, {names}; give their folders.")
    raise ValueError(
        f"{folder}: expected an evaluated run, found no {SCORES}; run `evaluating` of its bundle on it first."
    )


def _title(folder: Path) -> str:
    name, _, seed = folder.name.rpartition("_")
    if name and seed.isdigit():
        return f"{TITLES.get(name, name.replace('_', ' '))}, seed {seed}"
    if folder.name == "models":
        return TITLES.get(folder.resolve().parent.name, "Training run")
    return TITLES.get(folder.name, folder.name.replace("_", " "))


def _settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["settings"])
    except Exception as error:
        raise ValueError(f"{path}: not a readable checkpoint ({error}).") from error


def _notes(folder: Path) -> dict[str, str]:
    path = folder / "notes.json"
    return {str(name): str(text) for name, text in read_json(path).items()} if path.is_file() else {}


def _find_cohort(folders: list[Path], dataset_dir: str | Path | None) -> Cohort | None:
    if dataset_dir is not None:
        return Cohort.open(dataset_dir)
    for folder in folders:
        for place in (folder / "cohort", folder / "phantom", *_given(folder)):
            if (place / DATALIST).is_file():
                return Cohort.open(place)
    return None


def _given(folder: Path) -> list[Path]:
    """The cohort that a command of several stages was given, if this folder has its record."""
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
    given = record.get("dataset_dir") if isinstance(record, dict) else None
    return [Path(given)] if isinstance(given, str) else []


def _pictures(cohort: Cohort, folders: list[Path], runs: list[RunRecord]) -> Iterator[Picture]:
    """Yields two held-out scans (median and worst Dice of the first run), a cross-label and a pseudo-label."""
    held_out = {scan.id: scan for scan in getattr(cohort, cohort.evaluation_split or "test")}
    predicted = {scan: path for scan in held_out if (path := _prediction(folders[0], scan)) is not None}
    for name in _median_and_worst(runs[0], list(predicted)):
        scan = held_out[name]
        maps = {
            run.title: read_labels_ras(path)[0]
            for run, folder in zip(runs, folders, strict=True)
            if (path := _prediction(folder, name)) is not None
        }
        yield _picture(scan, "prediction", maps)
    store = AnnotationStore(folders[0])
    training = {scan.id: scan for scan in cohort.training}
    entries = [entry for entry in runs[0].ledger if entry.scan in training]
    for entry in entries:
        annotation = store.read("annotation", entry.scan)
        if annotation is not None and entry.slices is not None and entry.slices.keys() == VIEWS.keys():
            yield _picture(
                training[entry.scan], "cross_label", {"cross-label": annotation}, slices=entry.slices, reference=False
            )
            break
    labelled = {entry.scan for entry in entries}
    for name in sorted(training, key=lambda name: (name in labelled, name)):
        pseudo_label = store.read("pseudo_label", name)
        if pseudo_label is not None and ((pseudo_label > 0) & (pseudo_label < 255)).any():
            yield _picture(training[name], "pseudo_label", {"pseudo-label": pseudo_label})
            break


def _prediction(folder: Path, scan: str) -> Path | None:
    paths = (folder / "predictions" / f"{scan}_seg{suffix}" for suffix in NIFTI_SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def _median_and_worst(run: RunRecord, scans: list[str]) -> list[str]:
    dice = run.dice
    ordered = sorted((scan for scan in scans if scan in dice), key=lambda scan: dice[scan]) or sorted(scans)
    return list(dict.fromkeys([ordered[len(ordered) // 2], ordered[0]])) if ordered else []


def _picture(
    scan: Scan,
    kind: str,
    outlines: Mapping[str, np.ndarray],
    *,
    slices: Mapping[str, int] | None = None,
    reference: bool = True,
) -> Picture:
    image, affine = read_ras(scan.image)
    label = read_labels_ras(scan.label)[0] if reference and scan.label is not None else None
    shown = label if label is not None else next(iter(outlines.values()))
    side = spacing(affine)
    return Picture(
        scan=scan.id,
        kind=kind,
        image=np.asarray(image, dtype=np.float32),
        reference=label,
        outlines=dict(outlines),
        slices=dict(slices or widest_slices(shown)),
        spacing=(float(side[0]), float(side[1]), float(side[2])),
    )
