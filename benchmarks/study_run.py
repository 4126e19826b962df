"""Makes a run of a study: trains, evaluates the last iteration on one part, and keeps the scores, costs and times."""

from __future__ import annotations

import math
import resource
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from study_file import PARTS, Evaluation, Method

from common.annotations import Ledger
from common.cohort import Cohort, read_labels_ras
from common.commands.assft import assft
from common.commands.bundles import known_settings
from common.commands.sfr import sfr
from common.commands.stages import run_bundle
from common.files import read_json, write_json
from common.report import read_scores

SPENT = "spent.json"
"""File of a run with its CPU seconds and memory."""
Scores = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Cost:
    """What a run's annotations cost.

    Attributes:
        scans: Number of annotated scans.
        slices: Number of annotated slices. A dense label counts the slices that show an object, along the axis that
            has the fewest of them.
        voxels: Number of annotated voxels.
    """

    scans: int
    slices: int
    voxels: int


@dataclass(frozen=True)
class Result:
    """A run and its scores.

    Attributes:
        method: The method's name.
        seed: The run's seed.
        part: The part it was evaluated on.
        scores: Dice, Jaccard, distances by scan and class; a distance is NaN where a class was not found at all.
        cost: Cost of its annotations.
        seconds: CPU seconds of the training, those of all its stages together.
        memory: Most memory that one of its processes took, in bytes.
        made: Date of the run, ISO 8601.
        largest_volumes: Number of components of each class that its predictions kept; None for all.
    """

    method: str
    seed: int
    part: str
    scores: Scores
    cost: Cost
    seconds: float
    memory: int
    made: str = field(default_factory=lambda: date.today().isoformat())
    largest_volumes: int | None = None

    def write(self, path: Path) -> None:
        """Writes it as JSON, which has null where a number is NaN."""
        content = asdict(self)
        for classes in content["scores"].values():
            for label, values in classes.items():
                classes[label] = {name: None if math.isnan(value) else value for name, value in values.items()}
        write_json(path, content)


def read_result(path: Path) -> Result:
    """Reads a file that :meth:`Result.write` has written."""
    content = read_json(path)
    scores = {
        scan: {
            label: {name: math.nan if value is None else value for name, value in values.items()}
            for label, values in classes.items()
        }
        for scan, classes in content["scores"].items()
    }
    return Result(**content | {"scores": scores, "cost": Cost(**content["cost"])})


def make_run(method: Method, seed: int, evaluation: Evaluation, *, cohort_dir: Path, folder: Path) -> Result:
    """Makes a run, or what is missing of it, in a process that makes no other.

    CPU seconds of a session that was killed are not known, and not counted.

    Args:
        method: The method.
        seed: Seed of all its stages.
        evaluation: On what and how it is evaluated.
        cohort_dir: Folder of the cohort.
        folder: Folder of the run.
    """
    if method.kind == "nnunet":
        return _rival(method, seed, evaluation, cohort_dir, folder)
    bundle, last, settings = _train(method, seed, cohort_dir, folder)
    seconds, memory = _spent(folder / SPENT, of=resource.RUSAGE_CHILDREN)
    found = folder / f"evaluation_{evaluation.name}"
    given = known_settings(bundle, "evaluate", settings) | {"dataset_dir": str(cohort_dir)}
    given |= {"split": PARTS[evaluation.part], "largest_volumes": evaluation.largest_volumes}
    given |= {"checkpoint": str(last / "model.pt"), "evaluation_dir": str(found)}
    run_bundle(bundle, "evaluate", last, given, threads=1)
    scores: Scores = {}
    for score in read_scores(found / "metrics.csv"):
        scores.setdefault(score.scan, {})[score.label] = dict(score.values)
    cost = annotation_cost(Ledger(last), Cohort.open(cohort_dir))
    kept = evaluation.largest_volumes
    return Result(method.name, seed, evaluation.part, scores, cost, seconds, memory, largest_volumes=kept)


def _rival(method: Method, seed: int, evaluation: Evaluation, cohort_dir: Path, folder: Path) -> Result:
    """Trains nnU-Net on what another run of the study has learnt from."""
    from rival_nnunet import score, train_and_predict

    how = method.settings
    run, cohort = folder.parent / f"{how['of']}_{seed}", Cohort.open(cohort_dir)
    if not (run / SPENT).is_file():
        raise FileNotFoundError(f"{run}: expected a finished run, whose annotations {method.name} learns from.")
    length = how["times"] * read_json(run / SPENT)["seconds"]
    how = {"seconds": length, "small": how.get("small", False), "part": evaluation.part, "seed": seed}
    scores = score(cohort, train_and_predict(cohort, run, folder, **how), evaluation)
    _, memory = _spent(folder / SPENT, of=resource.RUSAGE_SELF)
    cost, kept = annotation_cost(Ledger(run), cohort), evaluation.largest_volumes
    return Result(method.name, seed, evaluation.part, scores, cost, length, memory, largest_volumes=kept)


def _train(method: Method, seed: int, cohort_dir: Path, folder: Path) -> tuple[str, Path, dict[str, Any]]:
    """Trains; returns the bundle whose network it ends with, the network's folder and the settings of its training."""
    if method.kind == "sfr":
        sfr(cohort_dir, folder, seed=seed, **method.settings)
        return "sfr_retrain", folder / "retrain", method.settings["retrain"]
    if method.kind == "assft":
        assft(cohort_dir, folder, seed=seed, **method.settings)
        return "assft_adapt", folder, method.settings["train"]
    if not (folder / "trained.json").is_file():
        settings = method.settings | {"dataset_dir": str(cohort_dir), "seed": seed}
        run_bundle(method.kind, "train", folder, settings, threads=1)
        write_json(folder / "trained.json", {"method": method.name, "seed": seed})
    return method.kind, folder, method.settings


def annotation_cost(ledger: Ledger, cohort: Cohort) -> Cost:
    """What the annotations of a ledger cost."""
    labels = {scan.id: scan.label for scan in cohort.training}
    slices = 0
    for entry in ledger.entries:
        label = labels[entry.scan]
        if entry.slices:
            slices += len(entry.slices)
        elif label is not None:
            slices += slices_with_objects(read_labels_ras(label)[0])
    return Cost(ledger.budget_used, slices, sum(entry.voxels for entry in ledger.entries))


def slices_with_objects(label: NDArray[np.integer]) -> int:
    """Number of slices of a label `[H, W, D]` that show an object, along the axis that has the fewest."""
    there = label > 0
    return min(int(there.any(axis=tuple({0, 1, 2} - {axis})).sum()) for axis in range(3))


def _spent(path: Path, *, of: int) -> tuple[float, int]:
    """CPU seconds of all sessions of a run so far, and the most memory of one of its processes.

    Args:
        path: File that keeps both.
        of: Whose they are: ``resource.RUSAGE_SELF`` or ``resource.RUSAGE_CHILDREN``.
    """
    used = resource.getrusage(of)
    former = read_json(path) if path.is_file() else {"seconds": 0.0, "memory": 0}
    seconds = round(former["seconds"] + used.ru_utime + used.ru_stime, 1)
    memory = max(former["memory"], 1024 * used.ru_maxrss)
    write_json(path, {"seconds": seconds, "memory": memory})
    return seconds, memory
