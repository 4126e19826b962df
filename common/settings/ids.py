"""Refuses ids that no config has, which MONAI accepts in silence, also nested ones such as ``network_def#widht``."""

from __future__ import annotations

import difflib
import inspect
import itertools
import pydoc
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.config_item import ConfigComponent
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS

SPECIAL = ("_target_", "_requires_", "_disabled_", "_desc_", "_mode_", "_debug_", "_meta_")
"""Keys with a meaning of their own in MONAI's configs."""

TRACKING = {*dict(DEFAULT_MLFLOW_SETTINGS["configs"]), "save_execute_config"}  # type: ignore[call-overload]
"""Ids that MONAI itself adds where a run is tracked."""

REFERENCE = re.compile(r"[@%](\w+)")


def check_names(names: Iterable[str], known: Collection[str], *, where: str) -> None:
    """Refuses names of settings that nothing knows, and says which were perhaps meant.

    Args:
        names: Ids of settings, with ``#`` before what lies within.
        known: Top-level ids that exist.
        where: What should have the settings, for the message.

    Raises:
        ValueError: Naming each unknown setting and the nearest known ids.
    """
    hints = [_hint(name, known) for name in names if name.split("#")[0].lstrip("+") not in known]
    if hints:
        raise ValueError(f"{where} has no setting for {', '.join(hints)}.")


def check_unheard(names: Iterable[str], arguments: Sequence[str]) -> None:
    """Refuses ``--NAME None`` on the command line, which MONAI leaves out without a word.

    Args:
        names: Settings whose value is not None.
        arguments: The command line's arguments.

    Raises:
        ValueError: Naming each setting that was given None, and how it is written so that it counts.
    """
    given = {*map("=".join, itertools.pairwise(arguments)), *arguments}
    if unheard := [f"--{name} '$None'" for name in names if f"--{name}=None" in given]:
        raise ValueError(f"MONAI leaves out what is None on the command line; write {', '.join(unheard)} instead.")


def check_config(parser: ConfigParser, own: dict[str, Any], *, known: Collection[str], where: str) -> None:
    """Refuses what was added to a config and nothing reads.

    An id at the top may be new if an expression refers to it, an argument if its ``_target_`` takes it.

    Args:
        parser: The whole config, with what was given on the command line and in further files.
        own: The bundle's own config.
        known: Other top-level ids that may be given.
        where: The config's file, for the message.

    Raises:
        ValueError: Naming each unknown id and the nearest known ones.
    """
    content: dict[str, Any] = parser.get()
    referred = {name for text in _texts(content) for name in REFERENCE.findall(text)}
    top = own.keys() | set(known) | TRACKING | referred
    names = [name for name in content if name not in SPECIAL]
    check_names(names, top, where=where)
    if hints := [hint for name in names for hint in _unknown(content[name], own.get(name), name, parser)]:
        raise ValueError(f"{where} has no setting for {', '.join(hints)}.")


def check_given(files: Sequence[str | Path], settings: Mapping[str, Any], *, where: str) -> None:
    """Refuses settings that nothing in a stage's configs reads, before the stage is started.

    Args:
        files: The stage's config files, later ones on top.
        settings: Values by id.
        where: What should have the settings, for the message.

    Raises:
        ValueError: Naming each unknown id and the nearest known ones.
    """
    own, whole = ConfigParser(), ConfigParser()
    for parser in (own, whole):
        parser.read_config([str(file) for file in files])
    check_names(settings, own.get(), where=where)
    whole.update(dict(settings))
    for parser in (own, whole):
        parser.resolve_macro_and_relative_ids()
    check_config(whole, own.get(), known=(), where=where)


def _unknown(given: Any, own: Any, place: str, parser: ConfigParser) -> Iterator[str]:
    if isinstance(given, list):
        for index, value in enumerate(given):
            known = own[index] if isinstance(own, list) and index < len(own) else None
            yield from _unknown(value, known, f"{place}#{index}", parser)
    if not isinstance(given, dict):
        return
    own = own if isinstance(own, dict) else None
    added = [key for key in given if key not in SPECIAL and key not in (own or {})]
    if added:
        names = _arguments(given, parser) if "_target_" in given else own
        yield from (f"{place}#{_hint(key, names)}" for key in added if names is not None and key not in names)
    for key, value in given.items():
        yield from _unknown(value, (own or {}).get(key), f"{place}#{key}", parser)


def _arguments(component: dict[str, Any], parser: ConfigParser) -> Collection[str] | None:
    """Names of the arguments that a component's target takes; None if it takes any, or cannot be found."""
    found = parameters(component, parser)
    return None if found is None or any(it.kind is it.VAR_KEYWORD for it in found.values()) else list(found)


def parameters(component: Mapping[str, Any], parser: ConfigParser) -> Mapping[str, inspect.Parameter] | None:
    """Parameters of a component's target, by name; None if it cannot be found.

    Args:
        component: Part of a config with a ``_target_``.
        parser: The config.
    """
    name = ConfigComponent({"_target_": component["_target_"]}, locator=parser.locator).resolve_module_name()
    target = pydoc.locate(name) if isinstance(name, str) else name
    if not callable(target):
        return None
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):
        return None


def _hint(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=2)
    return name + (f" (did you mean {' or '.join(near)}?)" if near else "")


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from _texts(value)
