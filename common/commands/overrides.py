"""Checks of the settings that people type: ids that no config has are refused, which MONAI accepts in silence."""

from __future__ import annotations

import ast
import contextlib
import difflib
import inspect
import json
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from monai.bundle import scripts


def check_overrides(config_file: str | Path, arguments: Sequence[str] | None = None) -> None:
    """Refuses command-line overrides whose id the config does not have.

    Args:
        config_file: The config, or a file of the same folder's workflow, whose top-level ids are known.
        arguments: Words of the command line, ``sys.argv`` by default; nothing is checked unless they run a bundle.

    Raises:
        ValueError: Naming each unknown override and the nearest known ids.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if "--config_file" not in arguments and not any(word.startswith("--config_file=") for word in arguments):
        return
    files = [Path(config_file), *(Path(name) for name in _config_files(arguments))]
    known = set(inspect.signature(scripts.run).parameters)
    for file in files:
        known |= {name.removeprefix("+").split("#")[0] for name in json.loads(file.read_text())}
    words = [word[2:].split("=")[0] for word in arguments if word.startswith("--")]
    check_settings((word.lstrip("+").split("::")[0] for word in words), known, where=str(config_file), sign="--")


def check_settings(names: Iterable[str], known: Collection[str], *, where: str, sign: str = "") -> None:
    """Refuses settings that nothing knows, and says which were perhaps meant.

    Args:
        names: Ids of settings, with ``#`` before what lies within.
        known: Top-level ids that exist.
        where: What should have the settings, for the message.
        sign: What stands before a name in the message, such as ``--``.

    Raises:
        ValueError: Naming each unknown setting and the nearest known ids.
    """
    hints = []
    for name in names:
        if name.split("#")[0] not in known:
            near = " or ".join(sign + other for other in difflib.get_close_matches(name, known, n=2))
            hints.append(f"{sign}{name}" + (f" (did you mean {near}?)" if near else ""))
    if hints:
        raise ValueError(f"{where} has no setting for {', '.join(hints)}.")


def _config_files(arguments: Sequence[str]) -> list[str]:
    for index, word in enumerate(arguments):
        if word.startswith("--config_file="):
            text = word.split("=", 1)[1]
        elif word == "--config_file" and index + 1 < len(arguments):
            text = arguments[index + 1]
        else:
            continue
        with contextlib.suppress(SyntaxError, ValueError):
            names = ast.literal_eval(text)
            return [names] if isinstance(names, str) else list(names)
        return [name.strip(" '\"") for name in text.strip("[]()").split(",") if name.strip()]
    return []
