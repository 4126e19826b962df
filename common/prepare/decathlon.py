"""Turns tasks of the Medical Segmentation Decathlon into cohorts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.cohort.cohort import Cohort
from common.files import read_json, scan_name
from common.prepare.classes import Classes
from common.prepare.convert import Conversion, Source, make_cohort
from common.prepare.splits import divide

DATASET = "dataset.json"


def prepare_decathlon(
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
    """Turns a task's folder (Antonelli et al., Nature Communications 13, 2022) into a cohort.

    The task's own test scans, which have no labels, are for testing, and its training scans are divided; lists divide
    all of them. Images with several modalities keep them as channels. A second call changes nothing, and resumes one
    that was interrupted.

    Args:
        source: Folder with ``dataset.json``.
        target: Folder of the new cohort.
        spacing: Distance between voxels to resample to, in millimetres, or three (RAS); by default the scans' own.
        validation: Number of training scans that are for validation, the last ones by name.
        test: Number of training scans that are for testing, those before them.
        split: Numbers of training scans for training, validation and testing that are drawn at random instead.
        lists: Files for training, validation and, if there is one, testing that name the scans instead.
        seed: Seed of the random draw.
        skip_bad: Whether to leave out scans with problems, with a warning, rather than to write nothing.
        progress: Whether to show progress bars.

    Raises:
        FileNotFoundError: If there is no ``dataset.json``.
        CohortError: If files are missing, damaged or not as expected; it names everything, scan by scan, and nothing
            has been written.
        ValueError: If ``dataset.json`` is not the Decathlon's, scans are divided in a way that does not work out, or
            the target holds other files.
    """
    folder = Path(source)
    path = folder / DATASET
    content = read_json(path)
    modalities, names = (_numbered(path, content, key) for key in ("modality", "labels"))
    sources: list[Source] = []
    problems: dict[str, list[str]] = {}
    for item in (*_items(path, content, "training"), *_items(path, content, "test")):
        image, label = (folder / item[key] if key in item else None for key in ("image", "label"))
        scan = Source(scan_name(item["image"]), (folder / item["image"],), label, max(1, len(modalities)))
        if any(scan.id == other.id for other in sources):
            problems[scan.id] = [f"{image}: expected a file name of its own, found it again; rename one."]
        else:
            sources.append(scan)
    labelled = sorted(scan.id for scan in sources if scan.label)
    unlabelled = [scan.id for scan in sources if not scan.label]
    if lists is not None:
        splits = divide(labelled + unlabelled, validation=validation, test=test, split=split, lists=lists)
    else:
        splits = divide(labelled, validation=validation, test=test, split=split, seed=seed)
        splits["test"] += unlabelled
    name = str(content.get("name", folder.name))
    return make_cohort(
        sources,
        splits,
        target,
        Conversion(Classes.named(names), spacing),
        {"made by": "prepare decathlon"},
        name=name,
        channels=list(modalities.values()),
        problems=problems,
        skip_bad=skip_bad,
        progress=progress,
    )


def _numbered(path: Path, content: Any, key: str) -> dict[int, str]:
    """Names by number, as the Decathlon has modalities and labels."""
    found: Any = content.get(key) if isinstance(content, dict) else None
    try:
        return {int(value): str(text) for value, text in sorted(found.items())}
    except (AttributeError, ValueError):
        hint = "; `prepare nnunet` reads nnU-Net's" if isinstance(content, dict) and "channel_names" in content else ""
        raise ValueError(
            f'{path}: expected `{key}` as the Decathlon has it, like {{"1": "name"}}, found {found!r}{hint}.'
        ) from None


def _items(path: Path, content: dict[str, Any], split: str) -> list[dict[str, str]]:
    """The items of a split, each with an image and perhaps a label."""
    items = [{"image": item} if isinstance(item, str) else item for item in content.get(split, [])]
    for item in items:
        if not isinstance(item, dict) or not all(isinstance(item.get(key, ""), str) for key in ("image", "label")):
            raise ValueError(f"{path}: expected paths of an image and a label under `{split}`, found {item!r}.")
        if "image" not in item:
            raise ValueError(f"{path}: expected an image in every item of `{split}`, found {item!r}.")
    return items
