"""Times the page of a run with many scans, and of two such runs compared, and says how large the pages are.

    python benchmarks/report_page.py --scans 80 --output_dir runs/report_page

The runs are made up: scans of left-atrium size, of which a few are different and the others copies; 80 training and 80
test scans; a query, rounds, annotations, pseudo-labels, predictions, a log of 20,000 iterations, and scores. Each page
is written by ``python -m common report`` in a process of its own, whose start counts.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import fire
import nibabel as nib
import numpy as np
import torch

from common.annotations import AnnotationStore, Ledger, LedgerEntry, ScanTrust, TrustEntry
from common.annotations.cross_label import cross_label, middle_slices
from common.files import write_json, write_nifti
from common.metrics import MEASURES
from common.prepare import phantom_volume
from common.provenance import command, hardware, versions

DIFFERENT = 3
"""Number of scans that differ; making up one of this size takes seconds."""


def main(
    scans: int = 80,
    size: tuple[int, int, int] = (272, 208, 88),
    labelled: int = 20,
    seed: int = 0,
    output_dir: str = "runs/report_page",
) -> None:
    """Makes up two runs, writes the page of one and the comparison of both, and prints time and size.

    Args:
        scans: Number of training scans, and of test scans.
        size: Voxels of a scan; the largest of the left-atrium benchmark are about as large as the default.
        labelled: Number of annotated scans.
        seed: Seed of everything that is made up.
        output_dir: Folder of cohort and runs; a cohort that is there already is used again.
    """
    folder = Path(output_dir)
    cohort = folder / "cohort"
    if not (cohort / "datalist.json").is_file():
        write_cohort(cohort, scans, size, seed)
    for number, name in enumerate(("fmabs_la", "supervised")):
        write_run(folder / name, cohort, scans, labelled, seed + number)
    runs = [str(folder / name) for name in ("fmabs_la", "supervised")]
    for what, words in (("one run", runs[:1]), ("two runs compared", runs)):
        printed, seconds, used = timed(["report", *words, "--dataset_dir", str(cohort)], threads=1)
        page = Path(printed.split()[-1])
        took = f"{seconds:.1f} s, {used:.1f} s of them of the processor"
        print(f"{what}, {scans} scans: {took}, {page.stat().st_size / 1e6:.2f} MB, {page}")


def timed(words: list[str], *, threads: int) -> tuple[str, float, float]:
    """Runs a command of the package in a process of its own, with so many threads.

    Returns:
        What it printed, its seconds by the clock, and those of the processors.
    """
    begin, used = time.monotonic(), processor_time()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-m", "common", *words], check=True, capture_output=True, text=True, env=environment
    )
    return done.stdout, time.monotonic() - begin, processor_time() - used


def processor_time() -> float:
    """Seconds that a processor has worked for the processes that this one has started, and that have ended."""
    used = os.times()
    return used.children_user + used.children_system


def write_cohort(folder: Path, scans: int, size: tuple[int, int, int], seed: int) -> None:
    """Writes scans for training and testing; all but a few are links to the same files."""
    affine = np.diag([0.625, 0.625, 0.625, 1])
    for number in range(DIFFERENT):
        image, label = phantom_volume(size, (seed, number))
        write_nifti(folder / "made" / f"image_{number}.nii.gz", image, affine)
        write_nifti(folder / "made" / f"label_{number}.nii.gz", label, affine)
    for kind in ("image", "label"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(2 * scans):
            link = folder / kind / f"case_{number:03}.nii.gz"
            link.unlink(missing_ok=True)
            link.hardlink_to(folder / "made" / f"{kind}_{number % DIFFERENT}.nii.gz")
    items = [{kind: f"{kind}/case_{number:03}.nii.gz" for kind in ("image", "label")} for number in range(2 * scans)]
    content = {"name": "made up", "labels": {"1": "left atrium"}, "training": items[:scans], "test": items[scans:]}
    write_json(folder / "datalist.json", content)


def write_run(folder: Path, cohort: Path, scans: int, labelled: int, seed: int) -> None:
    """Writes all that training, evaluation and inference would leave."""
    chance = np.random.default_rng(seed)
    training, tested = ([f"case_{number:03}" for number in range(begin, begin + scans)] for begin in (0, scans))
    affine = np.diag([0.625, 0.625, 0.625, 1])
    labels = [np.roll(phantom_label(cohort, number), 2, axis=0) for number in range(DIFFERENT)]
    for number in range(DIFFERENT):
        write_nifti(folder / "made" / f"{number}.nii.gz", labels[number], affine)
    link_all(folder / "made", folder / "predictions", [f"{scan}_seg" for scan in tested], first=scans)

    log = [line for iteration in range(10, 20_001, 10) for line in log_lines(iteration, chance)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    torch.save(
        {"settings": {"seed": seed, "roi_size": [112, 112, 80], "max_iterations": 20_000}}, folder / "checkpoint.pt"
    )

    (folder / "ledger.json").unlink(missing_ok=True)
    ledger, slices = Ledger(folder), middle_slices(labels[0])
    ledger.add(
        LedgerEntry(scan, number // 4, 500 * (number // 4), "her", float(chance.random()), slices, 70_000, "oracle")
        for number, scan in enumerate(training[:labelled])
    )
    for number in range(1, 6):
        trust = {scan: ScanTrust(*chance.random(2), bool(chance.random() < 0.4)) for scan in training[labelled:]}
        ledger.add_trust(TrustEntry(number, 3000 * number, trust))
    store = AnnotationStore(folder)
    store.write("annotation", training[0], cross_label(labels[0], slices), affine)
    store.write("pseudo_label", training[-1], labels[(scans - 1) % DIFFERENT], affine)

    dice = chance.beta(20, 3, size=scans)
    (folder / "evaluation").mkdir(exist_ok=True)
    with (folder / "evaluation" / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["scan", "class", *MEASURES, "missing"])
        for scan, it in zip(tested, dice, strict=True):
            distances = chance.gamma(3, 4 * (1 - it) + 0.5, size=4)
            writer.writerow([scan, "left atrium", it, it / (2 - it), *distances, 0])
    uncertainty = np.clip(0.6 * (1 - dice) + chance.normal(0.2, 0.03, size=scans), 0, 1)
    ranges = [
        {"voxels": 10 ** int(3 + place / 3), "confidence": 0.525 + place / 20, "accuracy": 0.5 + place / 22}
        for place in range(10)
    ]
    content = {"scans": dict(zip(tested, uncertainty.tolist(), strict=True)), "reliability": ranges}
    write_json(folder / "evaluation" / "uncertainty.json", content)
    write_json(folder / "evaluation" / "metrics.json", {"split": "test", "checkpoint_chosen_on_this_split": False})
    session = {
        "stage": "training", "seed": seed, "config": {"seed": seed, "dataset_dir": str(cohort)}, "command": command(),
        "folder": str(Path.cwd()), "versions": versions(), "hardware": hardware("cpu"), "processes": 1,
        "started": "2026-01-02T03:04:05+00:00", "ended": "2026-01-03T03:04:05+00:00", "complete": True,
        "seconds": 86_400.0, "iterations": [0, 20_000], "peak_memory": 4_000_000_000, "peak_gpu_memory": None,
    }  # fmt: skip
    write_json(folder / "provenance.json", {"version": 1, "sessions": [session]})


def log_lines(iteration: int, chance: np.random.Generator) -> list[dict]:
    """The lines of one iteration: losses, and now and then a validation or a round."""
    fall = float(np.exp(-iteration / 5000)) * float(chance.uniform(0.8, 1.2))
    terms = {"loss": 2 * fall, "annotation": fall, "pseudo_label": 0.6 * fall, "consistency": 0.1 * fall}
    lines = [{"kind": "train", "iteration": iteration, **terms}]
    if iteration % 500 == 0:
        lines.append({"kind": "validation", "iteration": iteration, "val_mean_dice": 0.9 * (1 - fall / 2)})
    if iteration % 3000 == 0:
        lines.append({"kind": "round", "iteration": iteration, "teacher_dice": 0.8, "pseudo_label_dice": 0.85})
    return lines


def phantom_label(cohort: Path, number: int) -> np.ndarray:
    """The label of one of the different scans."""
    return np.asarray(nib.load(cohort / "made" / f"label_{number}.nii.gz").dataobj)


def link_all(made: Path, folder: Path, names: list[str], *, first: int) -> None:
    """Links files to those that were made, in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, first):
        link = folder / f"{name}.nii.gz"
        link.unlink(missing_ok=True)
        link.hardlink_to(made / f"{number % DIFFERENT}.nii.gz")


if __name__ == "__main__":
    fire.Fire(main)
