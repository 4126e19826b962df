"""A study as its JSON file describes it: a cohort in three parts, and the methods that are compared on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.checks import check_largest_volumes, check_one_of
from common.cohort import Cohort
from common.commands.bundles import find_bundle
from common.files import read_json

KINDS = ("fmabs_la", "sfr_retrain", "sfr", "assft", "nnunet")
"""What a method may be: a bundle's training, a command of several stages, or nnU-Net."""
PARTS = {"tuning": "validation", "report": "test"}
"""The cohort's split behind each part of a study on which results are computed; the pool is its training split."""


@dataclass(frozen=True)
class Evaluation:
    """On what and how the methods of a study are evaluated, all alike.

    Attributes:
        part: One of ``PARTS``.
        largest_volumes: Number of 3D components of each class that predictions keep, largest first; None for all.
    """

    part: str
    largest_volumes: int | None = None

    def __post_init__(self) -> None:
        check_one_of("part", self.part, PARTS)
        check_largest_volumes(self.largest_volumes)

    @property
    def name(self) -> str:
        """What tells it from others in the names of files."""
        return self.part if self.largest_volumes is None else f"{self.part}_largest{self.largest_volumes}"


@dataclass(frozen=True)
class Method:
    """A method of a study.

    Attributes:
        name: Its name, which is that of its folders too.
        title: What it is, in words.
        kind: One of ``KINDS``.
        settings: Settings of its training, by id; for ``sfr`` and ``assft`` the arguments of the command; for
            ``nnunet`` the method ``of`` whose annotations it learns from, how many ``times`` the CPU seconds of that
            method it trains for, and whether its configuration is ``small``.
    """

    name: str
    title: str
    kind: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Study:
    """A study.

    Attributes:
        path: Its file.
        title: Its title.
        about: What a reader has to know about the cohort and its parts.
        prepare: The command that makes the cohort.
        scans: Number of scans of the pool, of the tuning part and of the report part.
        seconds_per_slice: Time in which a person is assumed to annotate a slice.
        methods: The methods, by name.
    """

    path: Path
    title: str
    about: str
    prepare: str
    scans: dict[str, int]
    seconds_per_slice: float
    methods: dict[str, Method]

    def check(self, cohort: Cohort) -> None:
        """Refuses a cohort whose parts are not the study's.

        Raises:
            ValueError: If a part has another number of scans.
        """
        found = {"pool": len(cohort.training), "tuning": len(cohort.validation), "report": len(cohort.test)}
        if found != self.scans:
            raise ValueError(f"{cohort.folder}: expected {self.scans} scans, found {found}; make it by: {self.prepare}")


def read_study(path: str | Path) -> Study:
    """Reads a study's file.

    Its ``blocks`` are named groups of settings. A method has ``uses``, the blocks whose settings are put together in
    this order, and may have ``settings`` of its own after them. The block ``ours`` is what the bundle's overlay
    ``ours.json`` says; for ``sfr`` those of both bundles, for their stages. A method of the kind ``sfr_retrain`` takes
    of a block with stages the settings of its own, ``retrain``.

    Raises:
        ValueError: If a method is of another kind, or uses a block that there is not.
    """
    path = Path(path)
    content = read_json(path)
    methods = {}
    for name, method in content["methods"].items():
        check_one_of(f"kind of {name}", method["kind"], KINDS)
        blocks = content["blocks"] | _ours(method["kind"])
        settings: dict[str, Any] = {}
        for block in method.get("uses", []):
            check_one_of(f"a block of {name}", block, blocks)
            given = blocks[block]
            settings = _together(settings, given.get("retrain", given) if method["kind"] == "sfr_retrain" else given)
        settings = _together(settings, method.get("settings", {}))
        methods[name] = Method(name, method["title"], method["kind"], settings)
    return Study(
        path=path,
        title=content["title"],
        about=content["about"],
        prepare=content["prepare"],
        scans=content["scans"],
        seconds_per_slice=content["seconds_per_slice"],
        methods=methods,
    )


def _ours(kind: str) -> dict[str, dict[str, Any]]:
    """The block ``ours`` of a kind of method; no block where the bundle has no such overlay."""
    if kind == "sfr":
        return {"ours": {"finetune": _overlay("sfr_stitch_finetune"), "retrain": _overlay("sfr_retrain")}}
    return {"ours": _overlay(kind)} if kind in ("fmabs_la", "sfr_retrain") else {}


def _overlay(bundle: str) -> dict[str, Any]:
    overlay: dict[str, Any] = read_json(find_bundle(bundle) / "configs/ours.json")
    return overlay


def _together(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Settings of both, those of the second in case of doubt; stages of a command are put together one by one."""
    stages = {
        name: first[name] | second[name]
        for name in ("finetune", "pseudo_label", "retrain", "pretrain", "querying", "train")
        if isinstance(first.get(name), dict) and isinstance(second.get(name), dict)
    }
    return first | second | stages
