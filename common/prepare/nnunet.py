"""Turns raw data sets of nnU-Net 2 into cohorts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.cohort.cohort import Cohort
from common.files import read_json
from common.prepare.classes import Classes
from common.prepare.convert import Conversion, Source, make_cohort
from common.prepare.find import SUFFIXES
from common.prepare.splits import Splits, divide

DATASET = "dataset.json"
FOLDS = "splits_final.json"
UNLABELLED = "imagesUnlabelled"
"""Folder for training scans without a label, which nnU-Net does not look at: ours."""


def prepare_nnunet(
    source: str | Path,
    target: str | Path,
    spacing: float | Sequence[float] | None = None,
    validation: int | None = None,
    test: int | None = None,
    *,
    split: Sequence[int] | None = None,
    lists: Sequence[str | Path] | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    progress: bool = True,
) -> Cohort:
    """Turns a folder ``DatasetXXX_NAME`` of ``nnUNet_raw`` (Isensee et al., Nature Methods 18, 2021) into a cohort.

    The scans of ``imagesTs`` are for testing, with a label if ``labelsTs`` has one. Those of ``imagesTr`` are divided:
    by default as the first fold of a ``splits_final.json`` beside ``dataset.json`` says, or all are for training; lists
    divide the scans of both folders. Scans of ``imagesUnlabelled`` are for training as well. The ignore label becomes
    255. A second call changes nothing, and resumes one that was interrupted.

    Args:
        source: Folder with ``dataset.json``.
        target: Folder of the new cohort.
        spacing: Distance between voxels to resample to, in millimetres, or three (RAS); by default the scans' own.
        validation: Number of scans of ``imagesTr`` for validation, the last ones by name.
        test: Number of scans of ``imagesTr`` for testing, those before them.
        split: Numbers of scans of ``imagesTr`` for training, validation and testing that are drawn at random instead.
        lists: Files for training, validation and, if there is one, testing that name the scans instead.
        seed: Seed of the random draw.
        skip_bad: Whether to leave out scans with problems, with a warning, rather than to write nothing.
        progress: Whether to show progress bars.

    Raises:
        FileNotFoundError: If there is no ``dataset.json``, or no image.
        CohortError: If files are missing, damaged or not as expected; it names everything, scan by scan, and nothing
            has been written.
        ValueError: If ``dataset.json`` is not that of nnU-Net 2, scans are divided in a way that does not work out, or
            the target holds other files.
    """
    folder = Path(source)
    path = folder / DATASET
    content = read_json(path)
    channels, classes, ending = _channels(path, content), _classes(path, content), _ending(path, content)
    training, held_out, unlabelled = (
        _scans(folder / images, folder / labels, len(channels), ending)
        for images, labels in (("imagesTr", "labelsTr"), ("imagesTs", "labelsTs"), (UNLABELLED, ""))
    )
    sources = training | unlabelled | held_out
    if not sources:
        raise FileNotFoundError(f"{folder}: expected images such as imagesTr/CASE_0000{ending}, found none.")
    problems: dict[str, list[str]] = {}
    for name in sorted(set(training) & set(held_out) | set(unlabelled) & (set(training) | set(held_out))):
        problems[name] = [f"{folder}: expected {name} in one of imagesTr and imagesTs, found it in both; rename one."]
    for name, scan in training.items():
        if scan.label is None:
            problems.setdefault(name, []).append(f"{folder}: expected labelsTr/{name}{ending}, found none.")
    given = (validation, test, split, lists)
    if lists is not None:
        splits = divide(sorted(sources), validation=validation, test=test, split=split, lists=lists)
    elif (folder / FOLDS).is_file() and given == (None,) * 4:
        splits = _first_fold(folder / FOLDS, list(training))
    else:
        splits = divide(list(training), validation=validation, test=test, split=split, seed=seed)
    if lists is None:
        splits["training"] += unlabelled
        splits["test"] += held_out
    return make_cohort(
        list(sources.values()),
        splits,
        target,
        Conversion(classes, spacing),
        {"made by": "prepare nnunet"},
        name=str(content.get("name", folder.name)),
        channels=channels,
        problems=problems,
        skip_bad=skip_bad,
        progress=progress,
    )


def _channels(path: Path, content: Any) -> list[str]:
    found = content.get("channel_names") if isinstance(content, dict) else None
    if not isinstance(found, dict) or sorted(found) != sorted(map(str, range(len(found)))) or not found:
        old = isinstance(content, dict) and "modality" in content
        hint = (
            "; for a Decathlon task use `prepare decathlon`, and for nnU-Net 1 convert it to nnU-Net 2" if old else ""
        )
        raise ValueError(f'{path}: expected `channel_names` like {{"0": "T1"}}, found {found!r}{hint}.')
    return [str(found[str(place)]) for place in range(len(found))]


def _classes(path: Path, content: dict[str, Any]) -> Classes:
    found: Any = content.get("labels")
    values = found.values() if isinstance(found, dict) else ()
    if any(isinstance(value, list) for value in values):
        raise ValueError(
            f"{path}: expected one value per class under `labels`, found regions of several; give every value a name "
            "of its own."
        )
    if not values or not all(type(value) is int and value >= 0 for value in values):
        raise ValueError(f'{path}: expected `labels` like {{"background": 0, "tumour": 1}}, found {found!r}.')
    return Classes.named({value: str(name) for name, value in sorted(found.items(), key=lambda item: item[1])})


def _ending(path: Path, content: dict[str, Any]) -> str:
    ending = content.get("file_ending")
    if ending not in SUFFIXES:
        raise ValueError(f"{path}: expected `file_ending` to be one of {', '.join(SUFFIXES)}, found {ending!r}.")
    return str(ending)


def _scans(images: Path, labels: Path, channels: int, ending: str) -> dict[str, Source]:
    """The scans of two folders by name, sorted; files of missing channels are named all the same."""
    names = sorted({path.name.removesuffix(ending)[:-5] for path in images.glob(f"[!.]*_[0-9][0-9][0-9][0-9]{ending}")})
    found = {}
    for name in names:
        label = labels / f"{name}{ending}"
        files = tuple(images / f"{name}_{place:04d}{ending}" for place in range(channels))
        found[name] = Source(name, files, label if labels != images.parent and label.is_file() else None)
    return found


def _first_fold(path: Path, names: Sequence[str]) -> Splits:
    """The first fold's division of the scans of ``imagesTr``; those that it names in neither part are for testing."""
    try:
        fold = read_json(path)[0]
        training, validation = list(fold["train"]), list(fold["val"])
    except (IndexError, KeyError, TypeError):
        raise ValueError(
            f'{path}: expected a list of folds like {{"train": […], "val": […]}}, found no such.'
        ) from None
    if unknown := sorted({*training, *validation} - set(names)):
        raise ValueError(f"{path}: expected names of scans in imagesTr, found {', '.join(unknown[:5])}.")
    known = {*training, *validation}
    return {"training": training, "validation": validation, "test": [name for name in names if name not in known]}
