"""A run's folder without a run: what training, evaluation and inference would have left on a small phantom."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from common.annotations import AnnotationStore, Ledger, LedgerEntry, ScanTrust, TrustEntry
from common.annotations.cross_label import cross_label, middle_slices
from common.cohort import Cohort, read_labels_ras
from common.files import write_nifti
from common.metrics import MEASURES, segmentation_scores
from common.prepare import write_phantom


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write_phantom(tmp_path_factory.mktemp("report") / "cohort", scans=8, size=24, seed=3, validation=1, test=2)


@pytest.fixture(scope="session")
def runs(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder above two runs, ``fmabs`` and ``supervised``."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "fmabs", cohort, rounds=True, shift=1)
    write_run(folder / "supervised", cohort, rounds=False, shift=3)
    return folder


@pytest.fixture
def adapted(tmp_path: Path) -> Path:
    """The folder of a run that chose its scans before training, and trusted some of its predictions; no images."""
    folder = tmp_path / "assft_adapt"
    write_log(folder / "source" / "log.jsonl", rounds=False)
    write_log(folder / "log.jsonl", rounds=False)
    with (folder / "log.jsonl").open("a") as file:
        for iteration in (20, 40):
            file.write(json.dumps({"kind": "round", "iteration": iteration, "reliable_scans": 2}) + "\n")
    (folder / "query.csv").write_text(QUERY)
    ledger = Ledger(folder)
    ledger.add(
        LedgerEntry(scan, 0, 0, "assft", score, None, 4096, "oracle", "2026-01-02T03:04:05+00:00")
        for scan, score in (("case_4", 0.9375), ("case_2", 0.75))
    )
    for selection in SELECTIONS:
        ledger.add_trust(selection)
    settings = {"seed": 0, "confidence_quantile": 0.5, "distance_quantile": 0.75}
    torch.save({"settings": settings}, folder / "checkpoint.pt")
    return folder


QUERY = """scan,score,divergence,novelty,difficulty,chosen
case_4,0.9375,0.25,1,0.7031,1
case_2,0.75,0.125,0.03125,0.6212,2
case_1,0.625,0.0625,0.5,0.51,0
case_3,0.41,0.03125,0.0625,0.4,0
"""


def selection(number: int, **scans: tuple[float, float, bool]) -> TrustEntry:
    """Of each scan confidence, distance and whether it is selected."""
    return TrustEntry(number, 20 * number, {scan: ScanTrust(*it) for scan, it in scans.items()})


SELECTIONS = (
    selection(1, case_1=(0.7, 0.25, False), case_3=(0.9, 0.125, True), case_5=(0.8, 0.125, True)),
    selection(2, case_1=(0.875, 0.25, True), case_3=(0.75, 0.0625, False), case_5=(0.9321, 0.1234, True)),
)


def write_run(folder: Path, cohort: Cohort, *, rounds: bool, shift: int) -> None:
    """Predictions are the reference moved by ``shift`` voxels."""
    write_log(folder / "log.jsonl", rounds=rounds)
    write_annotations(folder, cohort)
    torch.save({"settings": {"seed": 0, "roi_size": [32, 32, 32], "max_iterations": 60}}, folder / "checkpoint.pt")
    write_results(folder, cohort, shift=shift)


def write_log(path: Path, *, rounds: bool) -> None:
    lines: list[dict] = []
    for iteration in range(10, 61, 10):
        fall = float(np.exp(-iteration / 30))
        lines.append({"kind": "train", "iteration": iteration, "loss": 2 * fall, "annotation": fall})
        if rounds:
            lines[-1] |= {"pseudo_label": 0.5 + 0.4 * fall, "consistency": 0.01 / (1 + fall)}
        if iteration % 20 == 0:
            lines.append({"kind": "validation", "iteration": iteration, "val_mean_dice": 0.7 * (1 - fall)})
            if rounds:
                number = iteration // 20
                quality = {
                    "teacher_dice": 0.5 + 0.05 * number,
                    "pseudo_label_dice": float("nan") if number == 1 else 0.7,
                }
                lines.append({"kind": "round", "iteration": iteration, **quality})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_annotations(folder: Path, cohort: Cohort) -> None:
    store = AnnotationStore(folder)
    ledger = Ledger(folder)
    for number, scan in enumerate(cohort.training):
        assert scan.label is not None
        label, affine = read_labels_ras(scan.label)
        store.write("pseudo_label", scan.id, np.roll(label, 1, axis=0), affine)
        if number > 2:
            continue
        slices = middle_slices(label)
        annotation = cross_label(label, slices)
        store.write("annotation", scan.id, annotation, affine)
        ledger.add(
            LedgerEntry(
                scan=scan.id,
                round=number // 2,
                iteration=20 * (number // 2),
                strategy="her" if number == 2 else "random",
                score=0.123456 if number == 2 else None,
                slices=slices,
                voxels=int((annotation != 255).sum()),
                annotator="oracle",
                time="2026-01-02T03:04:05+00:00",
            )
        )


def write_results(folder: Path, cohort: Cohort, *, shift: int) -> None:
    (folder / "evaluation").mkdir()
    with (folder / "evaluation" / "metrics.csv").open("w", newline="") as file:
        rows = csv.DictWriter(file, ["scan", "class", *MEASURES, "missing"])
        rows.writeheader()
        for scan in cohort.test:
            assert scan.label is not None
            label, affine = read_labels_ras(scan.label)
            prediction = np.roll(label, shift, axis=1)
            write_nifti(folder / "predictions" / f"{scan.id}_seg.nii.gz", prediction, affine)
            scores = segmentation_scores(prediction, label, spacing=tuple(np.abs(np.diag(affine)[:3])))
            rows.writerow(
                {"scan": scan.id, "class": "left atrium", "missing": False} | {m: scores[m] for m in MEASURES}
            )
