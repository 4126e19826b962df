"""The scans of a study, as its datalist describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import IGNORE_INDEX
from common.files import read_json, scan_name, write_json

DATALIST = "datalist.json"
SPLITS = ("training", "validation", "test")


class CohortError(ValueError):
    """Everything that is wrong with a cohort.

    Attributes:
        problems: One line per problem: the file, what was expected, what was found, what to do.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        heading = f"{count} problems with the cohort:\n" if count > 1 else ""
        super().__init__(heading + "\n".join(self.problems))


@dataclass(frozen=True)
class Scan:
    """One scan of a cohort.

    Attributes:
        id: File name of the image without .nii or .nii.gz, unique within the cohort.
        image: NIfTI file of the image.
        label: NIfTI file of the label; None if there is none. Voxels of 255 are not annotated.
        annotated_classes: Classes that were annotated, in ascending order; what is background in the label may belong
            to any other class. None if all were.
    """

    id: str
    image: Path
    label: Path | None = None
    annotated_classes: tuple[int, ...] | None = None

    def image_item(self) -> dict[str, str]:
        """The scan without its label, as training takes it: annotations come from the run's store."""
        return {"scan": self.id, "image": str(self.image)}

    def item(self) -> dict[str, str]:
        """The scan as input of MONAI's transforms: ``scan`` (the id), ``image`` and, if there is one, ``label``."""
        return self.image_item() | ({} if self.label is None else {"label": str(self.label)})


@dataclass(frozen=True)
class Cohort:
    """The scans of a study, read from a folder's ``datalist.json``.

    The datalist has the Medical Segmentation Decathlon / MONAI form: ``name``, ``labels`` (``{"1": "left atrium"}``;
    an entry for 0 is ignored) and the lists ``training``, ``validation`` and ``test`` of items ``{"image": …, "label":
    …}`` or plain image paths, relative to the folder; ``label`` is optional. Where a label was made for some of the
    classes only, ``annotated_classes`` has their names.

    Attributes:
        folder: Folder that holds the datalist.
        name: Name of the study.
        labels: Name of each class 1..K.
        training, validation, test: Scans of each split, in the datalist's order.
    """

    folder: Path
    name: str
    labels: dict[int, str]
    training: tuple[Scan, ...] = ()
    validation: tuple[Scan, ...] = ()
    test: tuple[Scan, ...] = ()

    @classmethod
    def open(cls, dataset_dir: str | Path) -> Cohort:
        """Reads ``datalist.json`` of a folder; :func:`common.cohort.check_cohort` checks the scans themselves.

        Raises:
            FileNotFoundError: If the folder or its datalist does not exist.
            CohortError: If the datalist is not as described above, or two scans share an id; names all problems.
        """
        folder = Path(dataset_dir)
        path = folder / DATALIST
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: expected a cohort's folder, found none.")
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no such file; a cohort's folder needs one (see `python -m common prepare folder --help`)."
            )
        try:
            content = read_json(path)
        except ValueError as error:
            raise CohortError([str(error)]) from error
        return _parse(folder, path, content)

    @property
    def scans(self) -> tuple[Scan, ...]:
        """All scans: those for training, then validation, then test."""
        return self.training + self.validation + self.test

    @property
    def num_classes(self) -> int:
        """Number of classes with the background, K + 1."""
        return max(self.labels) + 1

    def labelled(self, split: str) -> tuple[Scan, ...]:
        """The scans of a split that have a label.

        Args:
            split: Name of the split: ``training``, ``validation`` or ``test``.

        Raises:
            ValueError: If there is no such split, or none of its scans has a label.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
        scans = getattr(self, split)
        found = tuple(scan for scan in scans if scan.label is not None)
        if not found:
            raise ValueError(f"{self.folder}: expected {split} scans with a label, found none of {len(scans)}.")
        return found

    @property
    def evaluation_split(self) -> str | None:
        """The split whose labels a model is evaluated on: ``test``, else ``validation``; None if neither has labels."""
        splits = {"test": self.test, "validation": self.validation}
        return next((name for name, scans in splits.items() if any(scan.label for scan in scans)), None)

    def scan(self, scan_id: str) -> Scan:
        """The scan with that id.

        Raises:
            KeyError: If no scan has this id.
        """
        for scan in self.scans:
            if scan.id == scan_id:
                return scan
        raise KeyError(f"{scan_id}: no scan of the cohort {self.folder} has this id.")


def write_datalist(
    folder: str | Path,
    *,
    name: str,
    labels: dict[int, str],
    splits: Mapping[str, Sequence[Mapping[str, Any]]],
    channels: Sequence[str] = (),
) -> None:
    """Writes ``datalist.json`` of a cohort, atomically; an existing one is kept.

    Args:
        folder: Folder of the cohort.
        name: Name of the study.
        labels: Name of each class 1..K.
        splits: Items ``{"image": …, "label": …}`` of each split, with paths relative to the folder.
        channels: Names of the images' channels, which become the Decathlon's ``modality``; none if they are not known.
    """
    path = Path(folder) / DATALIST
    if path.is_file():
        return
    content: dict[str, Any] = {"name": name, "labels": {str(value): text for value, text in labels.items()}}
    if channels:
        content["modality"] = {str(place): text for place, text in enumerate(channels)}
    write_json(path, content | {split: list(splits.get(split, ())) for split in SPLITS})


def _parse(folder: Path, path: Path, content: Any) -> Cohort:
    if not isinstance(content, dict):
        raise CohortError([f"{path}: expected an object with `labels` and `training`, found {type(content).__name__}."])
    wrong: list[str] = []
    labels = _parse_labels(content.get("labels"), path, wrong)
    splits: dict[str, tuple[Scan, ...]] = {}
    for split in SPLITS:
        items = content.get(split, [])
        if not isinstance(items, list):
            wrong.append(f"{path}: expected a list under `{split}`, found {type(items).__name__}.")
            items = []
        scans = [
            _parse_item(folder, path, f"{split}[{place}]", item, labels, wrong) for place, item in enumerate(items)
        ]
        splits[split] = tuple(scan for scan in scans if scan is not None)
    first: dict[str, Scan] = {}
    for scan in (scan for scans in splits.values() for scan in scans):
        if scan.id in first:
            wrong.append(
                f"{scan.image}: expected a file name of its own, found the id {scan.id!r} of {first[scan.id].image} "
                "again; rename one, or list the scan once."
            )
        first.setdefault(scan.id, scan)
    if not first and not wrong:
        wrong.append(f"{path}: expected scans under {', '.join(SPLITS)}, found none.")
    if wrong:
        raise CohortError(wrong)
    return Cohort(folder, str(content.get("name", folder.name)), labels, **splits)


def _parse_labels(labels: Any, path: Path, wrong: list[str]) -> dict[int, str]:
    expected = 'expected `labels` like {"1": "left atrium"} with values 1, 2, …'
    if not isinstance(labels, dict):
        wrong.append(f"{path}: {expected}, found {'none' if labels is None else type(labels).__name__}.")
        return {}
    try:
        numbered = {int(value): str(text) for value, text in labels.items()}
    except ValueError:
        wrong.append(f"{path}: {expected}, found the keys {', '.join(map(repr, labels))}.")
        return {}
    numbered.pop(0, None)
    classes = sorted(numbered)
    if not classes or classes != list(range(1, len(classes) + 1)) or classes[-1] >= IGNORE_INDEX:
        wrong.append(f"{path}: {expected} without a gap, found {classes or 'none'}.")
    return {value: numbered[value] for value in classes}


def _parse_item(
    folder: Path, path: Path, place: str, item: Any, labels: Mapping[int, str], wrong: list[str]
) -> Scan | None:
    if isinstance(item, str):
        item = {"image": item}
    image, label = (item.get("image"), item.get("label")) if isinstance(item, dict) else (None, None)
    if not isinstance(image, str) or not image or not isinstance(label, str | None):
        wrong.append(
            f'{path}: expected {place} like {{"image": "…", "label": "…"}} with one path each, found {item!r}.'
        )
        return None
    classes = None
    if "annotated_classes" in item:
        try:
            classes = class_numbers(item["annotated_classes"], labels)
        except ValueError as error:
            wrong.append(f"{path}: {place}, `annotated_classes`: {error}")
        if not label:
            wrong.append(f"{path}: expected a label beside `annotated_classes` in {place}, found none.")
    return Scan(scan_name(image), folder / image, folder / label if label else None, classes)


def class_numbers(names: Any, labels: Mapping[int, str]) -> tuple[int, ...] | None:
    """The classes with some names, in ascending order; None if these are all classes.

    Args:
        names: List of names.
        labels: Name of each class 1..K.

    Raises:
        ValueError: If it is no list, is empty, or holds anything but names of classes.

    Example:
        >>> class_numbers(["spleen"], {1: "liver", 2: "spleen"})
        (2,)
    """
    known = f"names of classes ({', '.join(labels.values())})"
    if not isinstance(names, list) or not names:
        raise ValueError(f"expected a list of at least one of the {known}, found {names!r}.")
    if unknown := [name for name in names if name not in labels.values()]:
        raise ValueError(f"expected {known}, found {', '.join(map(repr, unknown))}.")
    numbers = tuple(number for number, name in sorted(labels.items()) if name in names)
    return None if len(numbers) == len(labels) else numbers
