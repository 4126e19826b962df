"""``python -m common demo``: FM-ABS beside supervised training on made-up scans, in minutes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from common.annotations import Ledger
from common.commands.bundles import find_bundle
from common.commands.stages import Steps, run_bundle, say
from common.files import claim, read_json, write_json
from common.handlers import read_log
from common.prepare import write_phantom
from common.report import write_report

BUNDLE = "fmabs_la"
METHODS = {"fmabs": "FM-ABS, ours", "supervised": "Supervised"}
"""Titles of the methods; "ours" is the bundle's overlay ``ours.json``, on top of the paper's method."""


@dataclass(frozen=True)
class DemoSettings:
    """The settings on which the demo's result depends; all others are those of the bundle.

    Attributes:
        seed: Seed of the scans and of both trainings.
        scans: Number of scans, all splits together.
        validation: Number of scans for validation.
        test: Number of scans that are held out for the result.
        size: Number of voxels along each axis of a scan.
        patch: Size of a training patch, in voxels.
        width: Number of channels of the V-Net's first level.
        iterations: Number of iterations of each training.
        initial: Number of scans that are cross-labelled at the start, chosen at random.
        per_round: Number of scans that FM-ABS asks for in each of two rounds.
        rounds: Shares of the training after which these rounds take place; from the first on there are pseudo-labels.
    """

    seed: int = 0
    scans: int = 28
    validation: int = 2
    test: int = 6
    size: int = 48
    patch: tuple[int, int, int] = (48, 48, 32)
    width: int = 8
    iterations: int = 400
    initial: int = 4
    per_round: int = 2
    rounds: tuple[float, float] = (0.5, 0.75)

    @property
    def stride(self) -> list[int]:
        """Distance of neighbouring windows of inference: half a patch, in voxels."""
        return [size // 2 for size in self.patch]

    @property
    def budget(self) -> int:
        """Number of scans that are cross-labelled in the end."""
        return self.initial + 2 * self.per_round


def demo(output_dir: str | Path = "runs/demo", settings: DemoSettings | None = None) -> dict[str, Any]:
    """Trains FM-ABS and, on the same cross-labels, a supervised network; evaluates both and writes a page.

    A demo that was interrupted resumes: its finished steps are not done again. Trainings have one CPU thread, so that
    the result does not depend on the number of cores.

    Args:
        output_dir: Folder that gets the cohort, a folder per method, ``metrics.json`` and ``report.html``.
        settings: The demo's settings, by default those meant for two CPU cores.

    Returns:
        The content of ``metrics.json``: means over the held-out scans by method, and the settings.

    Raises:
        FileNotFoundError: If the bundle is not found.
        ValueError: If the folder holds something else, or a demo with other settings.
        RuntimeError: If a step fails; the message names the file with its output.
    """
    settings = settings or DemoSettings()
    folder = claim(output_dir, {"made by": "demo", **asdict(settings)}).resolve()
    steps = Steps(folder / "progress.json")
    say(f"FM-ABS demo · {output_dir} · seed {settings.seed}\n")

    say(f"1  Scans        {settings.scans} made-up ones of {settings.size}³ voxels, {settings.test} of them held out")
    with steps.step("scans"):
        _write_cohort(folder / "cohort", settings)

    say(
        f"2  FM-ABS, ours {settings.iterations} iterations; {settings.initial} scans cross-labelled at random, "
        f"{2 * settings.per_round} more that it asks for"
    )
    _train(steps, folder, "fmabs", settings)
    ledger = Ledger(folder / "fmabs")

    say(f"3  Supervised   {settings.iterations} iterations on the same {ledger.budget_used} cross-labelled scans")
    if "supervised" not in steps.seconds:
        _copy_annotations(folder / "fmabs", folder / "supervised")
    _train(steps, folder, "supervised", settings)

    say(f"4  Evaluation   of both on the {settings.test} held-out scans, and their predictions as NIfTI")
    with steps.step("evaluation") as wanted, ThreadPoolExecutor(2) as pool:
        if wanted:
            jobs = [(method, config) for config in ("evaluate", "inference") for method in METHODS]
            list(pool.map(lambda job: _apply(folder, job[0], job[1], settings), jobs))

    metrics = _metrics(folder, settings, steps.seconds)
    write_json(folder / "metrics.json", metrics)
    _write_notes(folder, settings, steps.seconds)
    page = write_report(folder, folder / "cohort")
    say(f"5  Page         {_relative(page)}\n")
    say(summary(metrics))
    return metrics


def summary(metrics: dict[str, Any]) -> str:
    """The Dice of each method as text with bars, and the difference between them."""
    lines = [
        f"Dice on {metrics['settings']['test']} held-out scans, learnt from the same {metrics['slices']} slices:\n"
    ]
    for method, title in METHODS.items():
        percent = 100 * metrics[method]["dice"]
        lines.append(f"   {title:<12} {percent:5.1f} %  {'█' * round(percent * 0.4)}")
    gap = 100 * (metrics["fmabs"]["dice"] - metrics["supervised"]["dice"])
    lines.append(f"\n   FM-ABS with our additions is {abs(gap):.1f} points {'ahead' if gap >= 0 else 'behind'}.")
    return "\n".join(lines)


def _write_cohort(folder: Path, settings: DemoSettings) -> None:
    write_phantom(
        folder, settings.scans, settings.size, settings.seed, validation=settings.validation, test=settings.test
    )


def _settings(method: str, settings: DemoSettings) -> dict[str, Any]:
    """Settings that replace those of the bundle's ``train.json``: the bundle's ``ours.json``, and small sizes.

    For both methods patches are neither flipped nor turned: so short a training has no time for it. Nor is the largest
    component taken for the object, since it may be another one after so short a training. The supervised network has
    the same loss of annotated voxels, and no other.
    """
    shared = read_json(find_bundle(BUNDLE) / "configs" / "ours.json") | {
        "roi_size": list(settings.patch),
        "stride": settings.stride,
        "max_iterations": settings.iterations,
        "val_interval": max(1, settings.iterations // 6),
        "network_def#width": settings.width,
        "augmentation": False,
        "largest_volumes": None,
        "budget": settings.budget,
        "initial_share": settings.initial / settings.budget,
        "per_round": settings.per_round,
        "query_span": list(settings.rounds),
        "pseudo_label_span": list(settings.rounds),
        "pseudo_label_rounds": 2,
    }
    if method == "supervised":
        return shared | {
            "batch_labelled": 4,
            "batch_unlabelled": 0,
            "initial_share": 1.0,
            "propagate": False,
            "pseudo_label_rounds": 0,
            "train#terms#2#weight": 0.0,
        }
    return shared


def _train(steps: Steps, folder: Path, method: str, settings: DemoSettings) -> None:
    with steps.step(method) as wanted:
        if wanted:
            run_bundle(
                BUNDLE,
                "train",
                folder / method,
                _settings(method, settings) | {"dataset_dir": str(folder / "cohort"), "seed": settings.seed},
                watch=lambda process: _watch(process, folder / method, settings.iterations),
                threads=1,
            )


def _apply(folder: Path, method: str, config: str, settings: DemoSettings) -> None:
    sizes = {"roi_size": list(settings.patch), "stride": settings.stride, "network_def#width": settings.width}
    run_bundle(BUNDLE, config, folder / method, sizes | {"dataset_dir": str(folder / "cohort")}, threads=1)


def _watch(process: subprocess.Popen, folder: Path, iterations: int) -> None:
    """Shows iterations as a bar, if there is a terminal, and each query and round of pseudo-labels as a line.

    What happened before is not shown: the supervised run has the ledger of the other.
    """
    told = _events(folder, _log(folder / "log.jsonl"))
    with tqdm(total=iterations, unit="it", leave=False, disable=None) as bar:
        while process.poll() is None:
            time.sleep(1)
            lines = _log(folder / "log.jsonl")
            for event in _events(folder, lines):
                if event not in told:
                    told.append(event)
                    bar.write(f"                {event}", file=sys.stdout)
                    sys.stdout.flush()
            bar.update(max((line["iteration"] for line in lines), default=0) - bar.n)


def _log(path: Path) -> list[dict[str, Any]]:
    try:
        return read_log(path)
    except (FileNotFoundError, ValueError):
        return []


def _events(folder: Path, lines: list[dict[str, Any]]) -> list[str]:
    """What a run has done so far, in order: the scans that it asked for, and the pseudo-labels that it made."""
    entries = [entry for entry in Ledger(folder).entries if entry.round] if folder.is_dir() else []
    asked: dict[int, list[str]] = {}
    for entry in entries:
        asked.setdefault(entry.iteration, []).append(entry.scan)
    made = {line["iteration"]: line["pseudo_label_dice"] for line in lines if "pseudo_label_dice" in line}
    events = [(iteration, 0, f"asks for {', '.join(scans)}") for iteration, scans in asked.items()]
    events += [
        (iteration, 1, f"pseudo-labels for all scans, Dice {100 * dice:.0f} % on annotated slices")
        for iteration, dice in made.items()
    ]
    return [f"iteration {iteration}: {text}" for iteration, _, text in sorted(events)]


def _copy_annotations(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source / "annotation", target / "annotation", dirs_exist_ok=True)
    shutil.copyfile(source / "ledger.json", target / "ledger.json")


def _metrics(folder: Path, settings: DemoSettings, seconds: dict[str, float]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for method in METHODS:
        mean = json.loads((folder / method / "evaluation" / "metrics.json").read_text())["mean"]
        results[method] = {name: entry["mean"] if isinstance(entry, dict) else entry for name, entry in mean.items()}
    slices = Ledger(folder / "fmabs").slices_used
    return results | {"slices": slices, "settings": asdict(settings), "seconds": seconds}


def _write_notes(folder: Path, settings: DemoSettings, seconds: dict[str, float]) -> None:
    notes = {
        "V-Net, width": str(settings.width),
        "FM-ABS, ours": "the paper's method with the bundle's ours.json on top",
        "supervised": "the same cross-labels, iterations and batch size",
        "seconds": f"FM-ABS {seconds['fmabs']:.0f}, supervised {seconds['supervised']:.0f}",
    }
    write_json(folder / "notes.json", notes)


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
