"""Where the bundles are, which settings their configs have, and how one is run in this process."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

import common
from common.files import read_json
from common.settings.ids import check_given
from common.settings.schema import LAYERS, check_values, computed, read_schema

SHIPPED = "shipped"
"""Folder of the installed package that holds the configs of all bundles; ``setup.py`` fills it."""


def find_bundle(name: str) -> Path:
    """A bundle's folder, below the working directory, beside the package ``common``, or in it where it is installed.

    Raises:
        FileNotFoundError: If it is in none of these places.
    """
    package = Path(common.__file__).resolve().parent
    here = [Path.cwd(), *Path.cwd().parents, package.parent, package / SHIPPED]
    for parent in here:
        if (parent / "bundles" / name / "configs" / "train.json").is_file():
            return parent / "bundles" / name
    raise FileNotFoundError(
        f"bundles/{name}: expected below {Path.cwd()} or one of its parents, or in the installed package; run this "
        "from the repository's folder, or install the wheel of a release."
    )


def config_files(bundle: Path, config: str) -> list[Path]:
    """The files that make up a stage's config, in the order in which MONAI reads them.

    Args:
        bundle: The bundle's folder.
        config: Name of the stage's own file without ``.json``.
    """
    return [bundle / "configs" / f"{name}.json" for name in LAYERS.get(config, (config,))]


def known_settings(bundle: str, config: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings, by id, that a stage of the bundle has: what one stage was given and another needs too."""
    known = _ids(bundle, config)
    return {key: value for key, value in settings.items() if key.split("#")[0] in known}


def check_stage(bundle: str, config: str, settings: Mapping[str, Any], *, owned: Collection[str] = ()) -> None:
    """Refuses settings, by id, that a stage of the bundle does not have or would refuse, or that are the command's own.

    Args:
        bundle: The bundle's name.
        config: Name of the stage's config without ``.json``.
        settings: Settings by id.
        owned: Ids that the command itself sets for all stages.

    Raises:
        FileNotFoundError: If there is no such bundle.
        ValueError: Naming each wrong setting, and what was expected.
    """
    if twice := [name for name in settings if name in owned]:
        raise ValueError(f"settings of {config}.json must not have {', '.join(twice)}, which the command itself sets.")
    check_given(config_files(find_bundle(bundle), config), settings, where=f"{bundle}/configs/{config}.json")
    check_shared(bundle, config, settings)


def check_shared(bundle: str, config: str, settings: Mapping[str, Any]) -> None:
    """Refuses values that a stage of the bundle would refuse; settings that it does not have are left to others.

    Raises:
        FileNotFoundError: If there is no such bundle.
        ValueError: Naming each wrong setting, and what was expected.
    """
    schema = read_schema(find_bundle(bundle) / "configs", config)
    check_values(schema, {name: value for name, value in settings.items() if not computed(value)})


def run_workflow(bundle: Path, configs: Sequence[str | Path], settings: Mapping[str, Any]) -> None:
    """Runs a stage of a bundle to its end in this process, which lets settings be objects.

    Args:
        bundle: The bundle's folder.
        configs: The stage's name, and further config files whose settings replace those before.
        settings: Values by id, in place of the configs' own.
    """
    stage, *overlays = configs
    flow = ConfigWorkflow(
        config_file=[str(file) for file in (*config_files(bundle, str(stage)), *overlays)],
        workflow_type="train",
        logging_file=str(bundle / "configs" / "logging.conf"),
        bundle_root=str(bundle),
        **settings,
    )
    flow.initialize()
    flow.run()
    flow.finalize()


def _ids(bundle: str, config: str) -> set[str]:
    return {key for file in config_files(find_bundle(bundle), config) for key in read_json(file)}
