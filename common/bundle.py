"""What the bundles' configs call from this package.

A config finds the package through one item, ``common``, rather than by import statements: MONAI carries these out
before everything else, so that a config could not say first where the package is. A packed bundle has its own copy of
the package in its folder, which the config knows by the file that MONAI was given.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import common

MODULES = {
    "annotations": "common.annotations",
    "checks": "common.checks",
    "cohorts": "common.cohort",
    "engines": "common.engines",
    "generalists": "common.generalists",
    "networks": "common.networks",
    "one_shot": "common.query.one_shot",
    "overrides": "common.commands.overrides",
    "pseudo_labels": "common.pseudo_labels",
    "queries": "common.query",
    "run_folders": "common.run_folder",
    "sam": "common.generalists.sam",
    "stages": "common.commands.prior_stages",
    "weights": "common.weights",
}
"""The modules that configs use, by the names that they use."""


class Modules:
    """The modules of this package as attributes, each imported when it is used first.

    Args:
        bundle_root: Folder of the bundle whose config asks.

    Raises:
        FileNotFoundError: If there is no bundle in that folder.
        ValueError: If the bundle has its own copy of this package, of another version than the one that is loaded.
    """

    def __init__(self, bundle_root: str | Path) -> None:
        root = Path(bundle_root)
        if not (root / "configs" / "metadata.json").is_file():
            raise FileNotFoundError(
                f"bundle_root: expected the folder of a bundle, found no configs/metadata.json in {root.resolve()}; "
                "run this in the bundle's folder, or give it as --bundle_root."
            )
        version = _version_of_copy(root)
        if version not in (None, common.__version__):
            raise ValueError(
                f"{root.resolve()}: expected version {version} of the package `common`, which this bundle was packed "
                f"with, found {common.__version__} loaded from {Path(common.__file__).parent}; "
                "run bundles of different versions in processes of their own."
            )

    def __getattr__(self, name: str) -> Any:
        if name not in MODULES:
            raise AttributeError(f"common has none of {name}; configs can use {', '.join(MODULES)}")
        return importlib.import_module(MODULES[name])


def _version_of_copy(root: Path) -> str | None:
    """Version of the copy of this package in a bundle's folder; None if there is none."""
    file = root / "common" / "__init__.py"
    found = re.search(r'^__version__ = "(.*)"$', file.read_text(), re.MULTILINE) if file.is_file() else None
    return found[1] if found else None
