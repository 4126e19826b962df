"""The table of settings on each bundle's page, made from its schema: ``python -m common.settings``.

The table stands in ``docs/README.md`` where there was one before, and is replaced as a whole.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from common.files import read_json, replacing
from common.settings.schema import LAYERS, Group, read_groups
from common.settings.setting import Setting

HEAD = "| option | default | meaning |\n|---|---|---|\n"
TABLE = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*")


def table(bundle: str | Path) -> str:
    """The table of a bundle's settings, as Markdown.

    Args:
        bundle: The bundle's folder, whose schema and configs give names, defaults and meanings.

    Raises:
        FileNotFoundError, ValueError: As raised by :func:`common.settings.schema.read_groups`.
    """
    configs = Path(bundle) / "configs"
    return HEAD + "".join(_rows(group, configs) for group in read_groups(configs))


def page(bundle: str | Path) -> str:
    """A bundle's page with the table of its schema.

    Raises:
        ValueError: If the page does not have one table of settings.
    """
    path = _page(bundle)
    text = path.read_text(encoding="utf-8")
    if len(TABLE.findall(text)) != 1:
        raise ValueError(f"{path}: expected one table with the head {HEAD.splitlines()[0]}, found another number.")
    return TABLE.sub(lambda _: table(bundle), text)


def write_pages(bundles: str | Path) -> list[Path]:
    """Replaces the tables on the pages of all bundles; returns the pages that were changed.

    Args:
        bundles: Folder of the bundles.

    Raises:
        FileNotFoundError, ValueError: As raised by :func:`page`.
    """
    changed = []
    for bundle in sorted(path.parents[1] for path in Path(bundles).glob("*/configs/settings.json")):
        path, text = _page(bundle), page(bundle)
        if path.read_text(encoding="utf-8") != text:
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def _page(bundle: str | Path) -> Path:
    return Path(bundle) / "docs" / "README.md"


def _rows(group: Group, configs: Path) -> str:
    rows = [f"| {group.title} | | |"]
    for name, setting in group.settings.items():
        rows.append(f"| `--{name}` | {_default(name, setting, configs)} | {setting.meaning} |")
    return "\n".join(rows) + "\n"


def _default(name: str, setting: Setting, configs: Path) -> str:
    if setting.default is not None:
        return setting.default
    for layer in reversed(LAYERS.get(setting.files[0], setting.files[:1])):
        content = read_json(configs / f"{layer}.json")
        if name in content:
            return _shown(content[name])
    raise ValueError(f"{configs / setting.files[0]}.json: expected the setting {name} of the schema, found none.")


def _shown(value: Any) -> str:
    if type(value) is int:
        return f"{value:,}"
    if isinstance(value, float):
        return str(value)
    if isinstance(value, list):
        whole = all(type(it) is int for it in value)
        return "×".join(map(str, value)) if whole else f"`[{','.join(map(str, value))}]`"
    return f"`{value}`"
