"""What the bundles' configs ask about their own settings.

A config is read by MONAI's ``ConfigParser``, which an expression cannot refer to; it is found on the stack of calls.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow

from common.settings.ids import check_config, check_unheard
from common.settings.schema import LAYERS, check_values, computed, read_schema
from common.settings.setting import Setting

MULTI_GPU = "multi_gpu_"
"""Beginning of the names of configs for several processes."""

STAGE = "_settings"
"""End of the names of ids that hold settings for another stage of the bundle."""

STRUCTURES = ("network_def", "optimizer", "lr_scheduler", "teacher", "train", "evaluated_network")
"""Ids of a training's config, besides the settings, that change what is trained."""

FREE = (
    "train#handlers",
    "train#log",
    "train#dataset#data",
    "train#dataloader#num_workers",
    "train#trainer#handlers",
    "train#trainer#max_epochs",
)
"""Ids within them that do not, or that the cohort's fingerprint stands for."""


def check(config_file: str | Path) -> None:
    """Checks every setting of the config that is being read: first its name, then its type and range.

    Nothing is computed from a setting before it has been checked, so that its own message is the one that is seen.

    Args:
        config_file: The bundle's own config; its schema lies beside it.

    Raises:
        ValueError: Naming each setting, what was expected and what was found.
    """
    path, parser = Path(config_file), _parser()
    own = _own(path)
    check_config(parser, _with_stages(own, path.parent), known=_ids(path), where=str(path))
    schema = {name: setting for name, setting in _schema(path).items() if name in parser}
    if Path(sys.argv[0]).parts[-3:-1] == ("monai", "bundle"):
        check_unheard([name for name in schema if parser[name] is not None], sys.argv[1:])
    plain = {name: parser[name] for name in schema if not computed(parser[name])}
    page = path.parents[1] / "docs" / "README.md"
    check_values(schema, plain, page=page)
    given = [name for name in schema if parser[name] != own.get(name)]
    beside = [str(schema[name].at_most) for name in given if schema[name].at_most]
    values = {name: _value(parser, name, schema[name]) for name in (*given, *beside)}
    check_values(schema, values, page=page)


def switches(config_file: str | Path) -> dict[str, bool]:
    """The settings of the config that is being read that are on or off, by name, as True and False.

    Args:
        config_file: The bundle's own config; its schema lies beside it.

    Raises:
        ValueError: If one of them is neither.
    """
    schema, parser = _schema(Path(config_file)), _parser()
    kept = {name: setting for name, setting in schema.items() if setting.type == "yes_or_no" and name in parser}
    return check_values(kept, {name: _value(parser, name, setting) for name, setting in kept.items()})


def agreed(config_file: str | Path) -> dict[str, Any]:
    """All that a run must agree on with the one that it resumes.

    Args:
        config_file: The bundle's own config of a training; its schema says which settings may change.

    Returns:
        Every other setting by name, as it was given, in types that a checkpoint keeps; and ``changes``, what else of
        the training is not as in the bundle's own config.
    """
    path, parser = Path(config_file), _parser()
    schema = {name: setting for name, setting in _schema(path).items() if name in parser}
    found: dict[str, Any] = {}
    for name, setting in schema.items():
        if setting.may_change_on_resume:
            continue
        value = _value(parser, name, setting)
        if setting.type == "yes_or_no":
            value = setting.read(value)
        found[name] = value is not None if setting.path_may_change_on_resume else _plain(value)
    own = _own(path)
    changes = {
        place: value
        for name in STRUCTURES
        for place, value in _changes(parser.get(name), own.get(name), name)
        if not any(place == free or place.startswith(f"{free}#") for free in FREE)
    }
    return found | {"changes": changes}


def given(config_file: str | Path) -> dict[str, Any]:
    """What of the config that is being read is not as in the bundle's own, for the record.

    Args:
        config_file: The bundle's own config.

    Returns:
        Values as they were given, by id; objects, which only a program can give, are left out.
    """
    content, own = _parser().get(), _own(Path(config_file))
    places = sorted(content.keys() | own.keys())
    return {place: value for name in places for place, value in _changes(content.get(name), own.get(name), name)}


def _parser() -> ConfigParser:
    """The parser that evaluates the expression from which this was called."""
    for frame, _ in traceback.walk_stack(None):
        if isinstance(found := frame.f_locals.get("self"), ConfigParser):
            return found
    raise RuntimeError("expected a call from an expression of a config, found no ConfigParser that evaluates one.")


def _schema(path: Path) -> dict[str, Setting]:
    schema = read_schema(path.parent, path.stem)
    several = path.parent / f"{MULTI_GPU}{path.stem}.json"
    return schema | (read_schema(path.parent, several.stem) if several.is_file() else {})


def _own(path: Path) -> dict[str, Any]:
    """The bundle's own config, in the form that a parser gives it."""
    parser = ConfigParser()
    parser.read_config([str(path.with_name(f"{name}.json")) for name in LAYERS.get(path.stem, (path.stem,))])
    parser.resolve_macro_and_relative_ids()
    own: dict[str, Any] = parser.get()
    return own


def _with_stages(own: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A config with all that its ``STAGE_settings``, which go to another stage, may have."""
    files = {name: folder / f"{name.removesuffix(STAGE)}.json" for name in own if name.endswith(STAGE)}
    stages = {name: ConfigParser.load_config_file(str(file)) for name, file in files.items() if file.is_file()}
    return own | {name: content | own[name] for name, content in stages.items()}


def _ids(path: Path) -> set[str]:
    """Ids besides the config's own: those for several processes, and of the workflow's steps."""
    several = path.parent / f"{MULTI_GPU}{path.stem}.json"
    found = set(ConfigParser.load_config_file(str(several))) if several.is_file() else set()
    for frame, _ in traceback.walk_stack(None):
        if isinstance(flow := frame.f_locals.get("self"), ConfigWorkflow):
            found |= {flow.init_id, flow.run_id, flow.final_id}
    return found


def _value(parser: ConfigParser, name: str, setting: Setting) -> Any:
    raw = parser[name]
    if setting.type == "object" or not computed(raw):
        return raw  # an object is made when it is needed
    return parser.get_parsed_content(name)


def _changes(given: Any, own: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The smallest parts of a config that are not as in the bundle's own, by their ids."""
    if isinstance(given, dict) and isinstance(own, dict):
        for key in given.keys() | own.keys():
            yield from _changes(given.get(key), own.get(key), f"{place}#{key}")
    elif isinstance(given, list) and isinstance(own, list) and len(given) == len(own):
        for index, values in enumerate(zip(given, own, strict=True)):
            yield from _changes(*values, f"{place}#{index}")
    elif isinstance(given, str | bool | int | float | list | dict | None) and given != own:
        yield place, _plain(given)


def _plain(value: Any) -> Any:
    """A value in types that a checkpoint keeps."""
    if isinstance(value, dict):
        return {str(key): _plain(it) for key, it in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(it) for it in value]
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return value
    return value.item() if hasattr(value, "item") else str(value)
