"""Labels real scans in rounds over REST, the labels of their files playing the annotator, from no model at all.

    nox -s label -- --install
    .nox/label/bin/python benchmarks/label_loop.py --data FOLDER --labels "anterior,posterior"

FOLDER has NIfTI files in ``images`` and, of the same names, ``labels``, all of about the same spacing. Some make up
the study; a MONAI Label server is started for it. In each round the annotator takes the next scans, corrects what is
pre-drawn on the three requested slices, and saves them as 3D Slicer does; then the model is trained, and segments scans
that are not in the study. The same command resumes an interrupted one.
"""

from __future__ import annotations

import json
import shutil
import time
from datetime import date
from pathlib import Path
from typing import Any

import fire
import numpy as np
from label_server import Server, voxels

from common.annotations import Ledger
from common.cohort.volumes import read_voxels
from common.files import read_json, scan_name, write_json

SETTINGS = {"max_iterations": 200, "roi_size": [32, 48, 32], "augmentation": False}
"""Settings of the trainings. Classes that are told apart by their place, anterior and posterior, bear no flips."""


def main(
    data: str,
    labels: str,
    output_dir: str = "runs/label_loop",
    models: str = "fmabs_la",
    strategy: str = "her",
    rounds: int = 5,
    per_round: int = 2,
    scans: int = 30,
    held_out: int = 20,
    seed: int = 0,
    settings: dict[str, Any] | None = None,
) -> None:
    """Runs all rounds, and prints a row of a Markdown table for each.

    Args:
        data: Folder of the scans and their labels.
        labels: Names of the classes 1..K, separated by commas.
        output_dir: Folder that gets the study and the results.
        models: The bundle.
        strategy: The query strategy.
        rounds: Number of rounds.
        per_round: Scans annotated in each round.
        scans: Scans in the study.
        held_out: Scans that the models are measured on.
        seed: Seed of the choice of scans, and of everything in the app.
        settings: Settings of the trainings in place of ``SETTINGS``, as JSON.
    """
    settings = SETTINGS | (settings or {})
    folder, names = Path(output_dir).resolve(), [name.strip() for name in _words(labels)]
    files = sorted(Path(data, "images").glob("*.nii*"))
    drawn = [files[place] for place in np.random.default_rng(seed).permutation(len(files))[: scans + held_out]]
    study = folder / "study"
    study.mkdir(parents=True, exist_ok=True)
    for file in drawn[:scans]:
        if not (study / file.name).exists():
            shutil.copy(file, study)
    truth = {scan_name(file): Path(data, "labels", file.name) for file in drawn}
    results = folder / "results.json"
    rows: list[dict[str, Any]] = read_json(results) if results.is_file() else []
    server = Server(study, folder / "server.log", models=models, labels=",".join(names), seed=seed).start()
    try:
        while len(rows) < rounds:
            _annotate(server, study / "runs" / models, truth, names, strategy, per_round * (len(rows) + 1))
            begin = time.monotonic()
            status = server.run("/train/", f"/train/{models}", **settings)
            if status["status"] != "DONE":
                raise RuntimeError("\n".join(status["details"]))
            seconds = time.monotonic() - begin
            scores = [_dice(server, models, file, truth[scan_name(file)], len(names)) for file in drawn[scans:]]
            rows.append({"seconds": seconds, "dice": scores, "date": date.today().isoformat()})
            write_json(results, rows)
            print(f"round {len(rows)}: mean Dice {np.mean(scores):.3f}, training {seconds:.0f} s", flush=True)
    finally:
        server.stop()
    print(
        f"\nseed {seed}, strategy {strategy}, {held_out} held-out scans, {json.dumps(settings)}, {rows[-1]['date']}\n"
    )
    print("| annotated scans | " + " | ".join(f"Dice of {name} [%]" for name in names) + " | training [s] |")
    print("|---|" + "---|" * (len(names) + 1))
    for number, row in enumerate(rows, start=1):
        means = " | ".join(f"{100 * mean:.1f}" for mean in np.mean(row["dice"], axis=0))
        print(f"| {number * per_round} | {means} | {row['seconds']:.0f} |")


def _words(text: Any) -> list[str]:
    return list(text) if isinstance(text, tuple | list) else str(text).split(",")


def _annotate(server: Server, run: Path, truth: dict[str, Path], names: list[str], strategy: str, wanted: int) -> None:
    """Annotates the next scans until so many are annotated."""
    background = len(names) + 1
    while Ledger(run).budget_used < wanted:
        scan = server.next_scan(strategy)["id"]
        predrawn = server.infer("cross_label", scan)
        label, image = read_voxels(truth[scan])
        drawn = np.where(predrawn > 0, np.where(label > 0, label, background), 0)
        reply = server.save(scan, drawn, image.affine, [*names, "annotated background"])
        print(f"{scan}: {reply['annotation']}, {reply['slices']}", flush=True)


def _dice(server: Server, model: str, image: Path, label: Path, classes: int) -> list[float]:
    """Dice of each class of a scan that the server has not seen."""
    reply = server.ask(
        "POST", f"/infer/{model}?output=image", files={"file": (image.name, image.read_bytes())}, data={"params": "{}"}
    )
    found, reference = voxels(reply.content), np.asarray(read_voxels(label)[0])
    pairs = [(found == value, reference == value) for value in range(1, classes + 1)]
    return [float(2 * (a & b).sum() / max(a.sum() + b.sum(), 1)) for a, b in pairs]


if __name__ == "__main__":
    fire.Fire(main)
