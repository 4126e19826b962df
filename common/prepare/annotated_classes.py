"""Says in a datalist which classes were annotated in which scans."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from common.cohort.cohort import DATALIST, SPLITS, Cohort, class_numbers
from common.files import read_json, scan_name, write_json


def declare_classes(dataset_dir: str | Path, classes: Mapping[str, Any]) -> Cohort:
    """Writes ``annotated_classes`` into the datalist of a cohort; scans that are not named stay as they are.

    Args:
        dataset_dir: Folder of the cohort.
        classes: List of names of classes by the id of a scan, or by a pattern of ids such as ``liver_*``.

    Returns:
        The cohort as it is now described.

    Raises:
        FileNotFoundError: If the folder or its datalist does not exist.
        ValueError: If a list is empty or names no class of the cohort, a pattern fits no scan with a label, or two fit
            the same one; nothing is written then.
    """
    cohort, path = Cohort.open(dataset_dir), Path(dataset_dir) / DATALIST
    if not isinstance(classes, Mapping):
        raise ValueError(f'classes must be given like {{"scan_*": ["liver"]}}, got {type(classes).__name__}.')
    labelled = [scan.id for scan in cohort.scans if scan.label is not None]
    chosen: dict[str, str] = {}
    for pattern, names in classes.items():
        try:
            class_numbers(names, cohort.labels)
        except ValueError as error:
            raise ValueError(f"classes of {pattern}: {error}") from None
        found = [scan for scan in labelled if fnmatchcase(scan, pattern)]
        if not found:
            raise ValueError(
                f"classes of {pattern}: expected the id of a scan with a label in {path}, or a pattern of some, such "
                f"as {', '.join(labelled[:3]) or 'none'}; found no such scan."
            )
        if twice := [scan for scan in found if scan in chosen]:
            raise ValueError(f"classes of {twice[0]}: expected them once, found {chosen[twice[0]]} and {pattern}.")
        chosen |= dict.fromkeys(found, pattern)
    content = read_json(path)
    for item in (item for split in SPLITS for item in content.get(split, []) if isinstance(item, dict)):
        if (scan := scan_name(item["image"])) in chosen:
            item["annotated_classes"] = list(classes[chosen[scan]])
    write_json(path, content)
    return Cohort.open(dataset_dir)
