"""Numbers of the sections on how well runs did, how they compare, what they cost, and what they were made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.metrics import MEASURES, Interval, bootstrap_interval
from common.report.comparing import compare
from common.report.figures import paired
from common.report.story import RunRecord

ALL_CLASSES = "mean of the classes"


def intervals(run: RunRecord) -> dict[str, dict[str, Interval | None]]:
    """Bootstrap intervals of the mean of each measure, by class, and for the mean of the classes if there are several.

    Returns:
        The interval by measure, by the name of the class; None where fewer than two scans have the measure.
    """
    rows: dict[str, str | None] = {label: label for label in run.classes}
    if len(rows) > 1:
        rows[ALL_CLASSES] = None
    return {
        name: {measure: bootstrap_interval(run.values(measure, label)) for measure in MEASURES}
        for name, label in rows.items()
    }


def compared(runs: Sequence[RunRecord]) -> dict[str, Any]:
    """Prepares the section that compares runs.

    Args:
        runs: Evaluated runs.

    Returns:
        The ``result`` of :py:func:`common.report.compare` with a ``figure`` of every scan, or ``refused``, why there is
        none; empty for a single run.
    """
    if len(runs) < 2:
        return {}
    try:
        result = compare(runs)
    except ValueError as error:
        return {"refused": str(error)}
    means = {title: sum(found.values()) / len(found) for title, found in result.dice.items()}
    ranges = {title: bootstrap_interval(list(found.values())) for title, found in result.dice.items()}
    return {"result": result, "figure": paired(result.dice), "means": means, "intervals": ranges}


def cost(run: RunRecord) -> dict[str, int]:
    """What a run's annotations cost: ``scans``, of which ``dense``, ``slices`` and ``voxels``; empty without any."""
    if not run.ledger:
        return {}
    return {
        "scans": len(run.ledger),
        "dense": sum(entry.slices is None for entry in run.ledger),
        "slices": sum(len(entry.slices or ()) for entry in run.ledger),
        "voxels": sum(entry.voxels for entry in run.ledger),
    }


def made_with(runs: Sequence[RunRecord]) -> dict[str, Any]:
    """Prepares the section on how runs were made.

    Returns:
        ``runs``, the sessions of each run by its title; ``commands``, each command of a run once, as the run's title
        and a session; and ``facts``, versions and hardware by name, several values beside each other where
        sessions differ. Empty if no session is on record.
    """
    sessions = [one for run in runs for one in run.sessions]
    if not sessions:
        return {}
    commands = {
        (run.title, one["stage"], one.get("command"), str(one.get("config"))): (run.title, one)
        for run in runs
        for one in run.sessions
    }
    facts: dict[str, dict[str, None]] = {}
    for one in sessions:
        for name, value in _facts(one).items():
            facts.setdefault(name, {})[value] = None
    return {
        "runs": {run.title: run.sessions for run in runs if run.sessions},
        "commands": list(commands.values()),
        "facts": {name: "; ".join(values) for name, values in facts.items()},
    }


def _facts(session: Mapping[str, Any]) -> dict[str, str]:
    hardware = dict(session.get("hardware") or {})
    if hardware.get("memory"):
        hardware["memory"] = f"{hardware['memory'] / 2**30:.0f} GiB"
    facts = {**hardware, **(session.get("versions") or {})}
    return {name: str(value) for name, value in facts.items() if value is not None}
