"""The table of a study that names the settings of each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai.bundle import ConfigParser
from study_file import Study

from common.commands.bundles import find_bundle
from common.settings.ids import parameters
from common.settings.schema import computed

WORDS = {
    "train#terms#0#loss": "loss on annotations",
    "train#terms#1#loss": "loss on pseudo-labels",
    "train#terms#1#weight": "weight of pseudo-labels, λ_sam",
    "train#terms#2#weight": "weight of consistency",
    "train#perturb": "perturbations of the consistency",
    "annotators#oracle#dense": "annotation of whole scans",
}
"""What settings are whose ids do not say it."""


def settings_table(study: Study, names: Sequence[str]) -> list[str]:
    """Lines of Markdown: what all methods share, and a row for each setting in which they differ.

    A setting stands there if one of the methods changes it; the others have the value of the bundle's `train.json`, or
    the default of what is built there. Arguments that refer to other settings are left out.

    Args:
        study: The study.
        names: Methods whose settings are shown, all of them trainings of one bundle.

    Raises:
        ValueError: If they are of several kinds.
    """
    methods = [study.methods[name] for name in names]
    kinds = sorted({method.kind for method in methods})
    if len(kinds) != 1:
        raise ValueError(f"methods whose settings are compared must be of one kind, found {', '.join(kinds)}.")
    usual = ConfigParser()
    usual.read_config(find_bundle(kinds[0]) / "configs/train.json")
    usual_values = {it: _usual(usual, it) for method in methods for it in method.settings}
    rows = {it: [_shown(method.settings.get(it, value)) for method in methods] for it, value in usual_values.items()}
    shared = [f"{_title(it)} {values[0]}" for it, values in rows.items() if len(set(values)) == 1]
    lines = [f"Shared by all: {', '.join(shared)}.", ""] if shared else []
    lines += ["| setting | " + " | ".join(f"`{name}`" for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    differing = {it: values for it, values in rows.items() if len(set(values)) > 1}
    return lines + [f"| {_title(it)} | {' | '.join(values)} |" for it, values in differing.items()]


def _usual(config: ConfigParser, setting: str) -> Any:
    """A setting's value in a configuration; where it is not given, the default of what is built there."""
    parent, _, name = setting.rpartition("#")
    component = config.get(parent) if parent in config else {}
    if setting in config or "_target_" not in component:
        return config.get(setting)
    known = parameters(component, config)
    return known[name].default if known and name in known else None


def _title(setting: str) -> str:
    return f"{WORDS[setting]} (`{setting}`)" if setting in WORDS else f"`{setting}`"


def _shown(value: Any) -> str:
    """A value in a table's words."""
    if isinstance(value, Mapping):
        own = {name: it for name, it in value.items() if not name.startswith("_") and not _refers(it)}
        given = ", ".join(f"{name} {_shown(it)}" for name, it in own.items())
        target = str(value.get("_target_", "")).rpartition(".")[2]
        return f"{target} ({given})" if given else target
    if isinstance(value, str):
        return f"`{value}`" if _refers(value) else value
    if isinstance(value, (list, tuple)):
        parts = [_shown(it) for it in value]
        return "; ".join(parts) if any(isinstance(it, Mapping) for it in value) else f"[{', '.join(parts)}]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else f"{value:g}"


def _refers(value: Any) -> bool:
    return isinstance(value, str) and computed(value)
