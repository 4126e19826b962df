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
from common.commands.stages import Steps, run_bundle, say
from common.files import claim, write_json
from common.handlers import read_log
from common.prepare import write_phantom
from common.report import write_report

BUNDLE = "fmabs_la"
METHODS = {"fmabs": "FM-ABS", "supervised": "Supervised"}


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
        first_round: Iteration of the first round, from which on there are pseudo-labels.
        round_interval: Iterations from one round to the next; rounds after the second only renew the pseudo-labels.
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
    first_round: int = 200
    round_interval: int = 100

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

    A demo that was interrupted resumes: its finished steps are not done again.

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
        f"2  FM-ABS       {settings.iterations} iterations; {settings.initial} scans cross-labelled at random, "
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
    lines.append(f"\n   FM-ABS is {abs(gap):.1f} points {'ahead' if gap >= 0 else 'behind'}.")
    return "\n".join(lines)


def _write_cohort(folder: Path, settings: DemoSettings) -> None:
    write_phantom(
        folder, settings.scans, settings.size, settings.seed, validation=settings.validation, test=settings.test
    )


def _settings(method: str, settings: DemoSettings) -> dict[str, Any]:
    """Settings that replace those of the bundle's ``train.json``: small sizes, and the method's loss terms.

    For both methods patches are neither flipped nor turned: so short a training has no time for it.
    """
    annotation = {
        "_target_": "common.losses.AnnotationTerm",
        "key": "annotation",
        "loss": {"_target_": "common.losses.PartialDiceCELoss"},
    }
    shared = {
        "roi_size": list(settings.patch),
        "stride": settings.stride,
        "max_iterations": settings.iterations,
        "val_interval": max(1, settings.iterations // 6),
        "network_def#width": settings.width,
        "augmentation": False,
        "budget": settings.budget,
        "initial_share": settings.initial / settings.budget,
        "per_round": settings.per_round,
    }
    if method == "supervised":
        return shared | {
            "batch_labelled": 4,
            "batch_unlabelled": 0,
            "train#terms": [annotation],
            "train#pool#rounds#last": 0,
        }
    pseudo_label = {
        "_target_": "common.losses.AnnotationTerm",
        "key": "pseudo_label",
        "loss": {"_target_": "common.losses.NoiseTolerantDiceLoss"},
        "weight": 1.0,
    }
    consistency = {
        "_target_": "common.losses.ConsistencyTerm",
        "loss": {"_target_": "common.losses.ConsistencyLoss", "kind": "mae"},
        "weight": {"_target_": "common.schedules.GaussianRampUp", "maximum": 0.1, "length": settings.iterations},
    }
    return shared | {
        "propagate": True,
        "fusion": "mean",
        "largest_volumes": 1,
        "train#terms": [annotation, pseudo_label, consistency],
        "train#pool#rounds#first": settings.first_round,
        "train#pool#rounds#every": settings.round_interval,
    }


def _train(steps: Steps, folder: Path, method: str, settings: DemoSettings) -> None:
    with steps.step(method) as wanted:
        if wanted:
            run_bundle(
                BUNDLE,
                "train",
                folder / method,
                _settings(method, settings) | {"dataset_dir": str(folder / "cohort"), "seed": settings.seed},
                watch=lambda process: _watch(process, folder / method, settings.iterations),
            )


def _apply(folder: Path, method: str, config: str, settings: DemoSettings) -> None:
    sizes = {"roi_size": list(settings.patch), "stride": settings.stride, "network_def#width": settings.width}
    run_bundle(BUNDLE, config, folder / method, sizes | {"dataset_dir": str(folder / "cohort")}, threads=1)


def _watch(process: subprocess.Popen, folder: Path, iterations: int) -> None:
    """Shows iterations as a bar, if there is a terminal, and each round as a line."""
    told = 0
    with tqdm(total=iterations, unit="it", leave=False, disable=None) as bar:
        while process.poll() is None:
            time.sleep(1)
            lines = _log(folder / "log.jsonl")
            rounds = [line for line in lines if line["kind"] == "round"]
            for number, line in enumerate(rounds[told:], told + 1):
                bar.write(_round(number, line, folder), file=sys.stdout)
                sys.stdout.flush()
            told = len(rounds)
            bar.update(max((line["iteration"] for line in lines), default=0) - bar.n)


def _log(path: Path) -> list[dict[str, Any]]:
    try:
        return read_log(path)
    except (FileNotFoundError, ValueError):
        return []


def _round(number: int, line: dict[str, Any], folder: Path) -> str:
    asked = [entry.scan for entry in Ledger(folder).entries if entry.round == number]
    parts = [f"asks for {', '.join(asked)}"] if asked else []
    if "pseudo_label_dice" in line:
        parts.append(f"pseudo-labels for all scans, Dice {100 * line['pseudo_label_dice']:.0f} % on annotated slices")
    return f"                round {number}, iteration {line['iteration']}: {'; '.join(parts) or 'done'}"


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
        "supervised": "the same cross-labels, iterations and batch size",
        "seconds": f"FM-ABS {seconds['fmabs']:.0f}, supervised {seconds['supervised']:.0f}",
    }
    write_json(folder / "notes.json", notes)


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
