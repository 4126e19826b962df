"""The version, which the package, the metadata of each bundle and the changelog must agree on."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from common.files import read_json

PACKAGE, CHANGELOG = Path("common/__init__.py"), Path("CHANGELOG.md")


def agreed_version(root: Path, bundles: Sequence[str]) -> str:
    """The version of the package and of these bundles.

    Args:
        root: The repository's folder.
        bundles: Names of bundles.

    Raises:
        ValueError: If they disagree; the message names every file that does.
    """
    version = package_version(root)
    faults = []
    for bundle in bundles:
        metadata = read_json(root / "bundles" / bundle / "configs" / "metadata.json")
        where = f"bundles/{bundle}/configs/metadata.json"
        if (found := metadata.get("version")) != version:
            faults.append(f"{where}: expected version {version}, found {found}")
        if version not in metadata.get("changelog", {}):
            faults.append(f"{where}: expected an entry for {version} in changelog, found none")
    if version not in changelog_sections(root):
        faults.append(f"{CHANGELOG}: expected a section '## [{version}] - DATE', found none")
    if faults:
        raise ValueError(f"{PACKAGE} has __version__ {version}, and others disagree:\n  " + "\n  ".join(faults))
    return version


def package_version(root: Path) -> str:
    """The package's ``__version__``, read from its file in the repository without importing it.

    Raises:
        ValueError: If there is none of the form X.Y.Z.
    """
    for statement in ast.parse((root / PACKAGE).read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__version__":
            found = ast.literal_eval(statement.value)
            if re.fullmatch(r"\d+\.\d+\.\d+", str(found)):
                return str(found)
            raise ValueError(f"{PACKAGE}: expected __version__ of the form X.Y.Z, found {found!r}.")
    raise ValueError(f"{PACKAGE}: expected a __version__, found none.")


def changelog_sections(root: Path) -> dict[str, str]:
    """The changelog's text by version, ``Unreleased`` among them."""
    text = (root / CHANGELOG).read_text(encoding="utf-8")
    parts = re.split(r"^## \[([^\]]+)\].*$", text, flags=re.MULTILINE)[1:]
    return {name: content.strip() for name, content in zip(parts[::2], parts[1::2], strict=True)}
