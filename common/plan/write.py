"""A plan as a file that MONAI reads after a bundle's own config, and as text."""

from __future__ import annotations

import json
import os
import textwrap
from pathlib import Path
from typing import Any

from common import __version__
from common.files import digest, read_json, write_text
from common.plan.make import Plan

NOTES = "_desc_"
"""Key under which MONAI's configs keep free text; it decides nothing."""

INDENT, WIDTH = " " * 6, 110


def check_target(path: str | Path, *, overwrite: bool = False) -> None:
    """Refuses a file that a plan must not be written to.

    A plan that this command has written, and nobody has changed, may be replaced.

    Args:
        path: The plan's file.
        overwrite: Whether any file may be replaced.

    Raises:
        FileNotFoundError: If the folder does not exist.
        PermissionError: If nothing may be written there.
        ValueError: If there is a file that a person has changed or written.
    """
    path = Path(path)
    remedy = "name another file as --target"
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path.parent}: expected the folder that the plan is written to, found none; {remedy}."
        )
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path.parent}: expected a folder that may be written to, found none; {remedy}.")
    if path.exists() and not overwrite and not _as_written(path):
        raise ValueError(
            f"{path}: expected no file, or a plan as this command writes it, found one that was changed by hand or "
            f"comes from elsewhere; give --overwrite True to replace it, or {remedy}."
        )


def write_plan(path: str | Path, plan: Plan, *, overwrite: bool = False) -> None:
    """Writes a plan's settings as a config, with the reasons under ``_desc_``, atomically.

    Args:
        path: File to write.
        plan: The plan.
        overwrite: Whether a file that a person has changed or written may be replaced.

    Raises:
        FileNotFoundError, PermissionError, ValueError: As raised by :func:`check_target`.
    """
    check_target(path, overwrite=overwrite)
    notes = {
        "made by": f"python -m common plan, version {__version__}, for the bundle {plan.bundle}",
        "decisions": {decision.name: f"{decision.value}: {decision.reason}" for decision in plan.decisions},
        "checksum of the settings": _checksum(plan.settings),
    }
    write_text(path, _config({NOTES: notes, **plan.settings}))


def plan_text(plan: Plan) -> str:
    """The decisions, one after the other, with their reasons."""
    lines = []
    for decision in plan.decisions:
        lines.append(f"  {decision.name}: {decision.value}")
        lines += textwrap.wrap(decision.reason, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)
    return "\n".join(lines)


def _config(content: dict[str, Any]) -> str:
    """A config as JSON with a line for each setting."""
    notes = json.dumps(content[NOTES], indent=4).replace("\n", "\n    ")
    lines = [f'"{NOTES}": {notes}']
    lines += [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in content.items() if name != NOTES]
    return "{\n    " + ",\n    ".join(lines) + "\n}\n"


def _as_written(path: Path) -> bool:
    """Whether a file is a plan whose settings nobody has changed."""
    try:
        content = read_json(path)
    except ValueError:
        return False
    if not isinstance(content, dict) or not isinstance(notes := content.pop(NOTES, None), dict):
        return False
    return bool(notes.get("checksum of the settings") == _checksum(content))


def _checksum(settings: dict[str, Any]) -> str:
    return digest(json.dumps(settings, sort_keys=True))
