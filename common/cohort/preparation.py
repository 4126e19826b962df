"""What everything that makes cohorts shares: the folder is its own, and doing it again changes nothing."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from common.cohort.files import read_json, write_json

RECORD = "prepared.json"

Item = TypeVar("Item")


def claim(folder: str | Path, settings: Mapping[str, Any], *, free: Collection[str] = ()) -> Path:
    """Makes a folder that belongs to these settings alone, or recognises it.

    Args:
        folder: to be filled.
        settings: everything that decides on what is written, as JSON knows it.
        free: names of settings that may be others than before; those given now are kept.

    Raises:
        ValueError: if the folder holds what other settings, or somebody else, have put there.
    """
    folder = Path(folder)
    record = folder / RECORD
    wanted = json.loads(json.dumps(settings))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder, found a file.")
    if record.is_file():
        found = read_json(record)
        if not isinstance(found, dict):
            raise ValueError(
                f"{record}: expected the settings of a prepared folder, found {type(found).__name__}; choose another "
                "folder, or delete this one first."
            )
        names = [name for name in wanted | found if wanted.get(name) != found.get(name)]
        fixed = [name for name in names if name not in free]
        if fixed:
            former = ", ".join(
                f"{name} {reprlib.repr(found.get(name))}, not {reprlib.repr(wanted.get(name))}" for name in fixed
            )
            raise ValueError(
                f"{folder}: prepared before with {former}; choose another folder, or delete this one first."
            )
        if names:
            write_json(record, wanted)
    elif folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise ValueError(
            f"{folder}: expected an empty folder or one prepared before, found other files; choose another."
        )
    else:
        write_json(record, wanted)
    return folder


def progress_bar(items: Iterable[Item], what: str, show: bool) -> Iterator[Item]:
    """``items`` one by one, with a progress bar on standard error if wanted."""
    yield from tqdm(items, desc=what, unit="scan", disable=not show)
