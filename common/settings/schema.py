"""The schema of a bundle's settings, ``configs/settings.json``: groups of settings, as its page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.settings.setting import Setting

FILE = "settings.json"

LAYERS = {
    "evaluate": ("train", "evaluate"),
    "multi_gpu_train": ("train", "multi_gpu_train"),
    "multi_gpu_evaluate": ("train", "evaluate", "multi_gpu_evaluate"),
}
"""Configs that are no workflow by themselves: they change those before them, and have their settings too."""


@dataclass(frozen=True)
class Group:
    """Settings that stand together on a bundle's page.

    Attributes:
        title: Their heading.
        settings: The settings by name.
    """

    title: str
    settings: dict[str, Setting]


def read_groups(folder: str | Path) -> list[Group]:
    """The groups of a schema, in their order.

    Args:
        folder: Folder of the bundle's configs.

    Raises:
        FileNotFoundError: If there is no schema.
        ValueError: If it is not as described in :class:`Setting`.
    """
    from common.files import read_json  # which needs PyTorch, and the command line's help does not

    path = Path(folder) / FILE
    groups = []
    for content in read_json(path):
        settings = {
            name: Setting.parse(f"{path}: {name}", {"files": content["files"]} | entry)
            for name, entry in content["settings"].items()
        }
        groups.append(Group(content["title"], settings))
    return groups


def read_schema(folder: str | Path, config: str) -> dict[str, Setting]:
    """The settings of a config, by name.

    Args:
        folder: Folder of the bundle's configs.
        config: Name of the config without ``.json``; for ``evaluate`` the settings of ``train``, which it changes,
            are among them.

    Raises:
        FileNotFoundError, ValueError: As raised by :func:`read_groups`.
    """
    groups = read_groups(folder)
    return {
        name: setting
        for layer in LAYERS.get(config, (config,))
        for group in groups
        for name, setting in group.settings.items()
        if layer in setting.files
    }


def computed(value: Any) -> bool:
    """Whether a value of a config has to be evaluated by MONAI before it can be checked."""
    if isinstance(value, list | tuple):
        return any(map(computed, value))
    return isinstance(value, dict) or (isinstance(value, str) and value.startswith(("$", "@")))


def check_values(
    schema: Mapping[str, Setting], values: Mapping[str, Any], *, page: Path | None = None
) -> dict[str, Any]:
    """Reads values by their settings, and refuses all that are not what they may be in one message.

    Args:
        schema: The settings by name.
        values: Values by name; those without a setting are left out.
        page: The page that explains the settings, if there is one, for the message.

    Returns:
        The values as they are meant, such as False for the word ``false``.

    Raises:
        ValueError: Naming each setting, what was expected and what was found.
    """
    found: dict[str, Any] = {}
    wrong = []
    for name, given in values.items():
        if name in schema:
            try:
                found[name] = schema[name].read(given)
            except ValueError as error:
                wrong.append(f"{name} {error}")
    for name, value in found.items():
        other = found.get(schema[name].at_most or "")
        if value is not None and other is not None and any(it > most for it, most in zip(value, other, strict=True)):
            wrong.append(f"{name} must be at most {schema[name].at_most}, {list(other)}, along each axis, got {value}.")
    if wrong:
        heading = [f"{len(wrong)} settings are not what they may be:"] if len(wrong) > 1 else []
        more = [f"All settings are explained in {page}."] if page is not None and page.is_file() else []
        raise ValueError("\n".join(heading + wrong + more))
    return found
