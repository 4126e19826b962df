"""Measures whether the confidence of pseudo-labels ranks scans by their true Dice.

python benchmarks/confidence.py --dataset_dir COHORT --pseudo_labels RUN/finetune/pseudo_labels
"""

from __future__ import annotations

import statistics
from pathlib import Path

import fire
import numpy as np
from scipy.stats import spearmanr

from common.cohort import Cohort, read_labels_ras
from common.files import read_json


def main(dataset_dir: str, pseudo_labels: str) -> None:
    """Prints the pseudo-labels' mean Dice, the share of voxels that they label, and Spearman's rank correlation.

    Args:
        dataset_dir: Folder of the cohort, which has labels of its training scans.
        pseudo_labels: Folder of the pseudo-labels, with `pseudo_labels.json`.
    """
    scores = score(dataset_dir, pseudo_labels)
    dice, labelled, rank = summary(scores)
    print(f"{len(scores)} scans: Dice {100 * dice:.1f} %, {100 * labelled:.0f} % of voxels, Spearman's rho {rank:.2f}")


def score(dataset_dir: str | Path, pseudo_labels: str | Path) -> list[tuple[float, float, float]]:
    """For each pseudo-label, its foreground's true Dice on labelled voxels, the share of these, and its confidence."""
    folder = Path(pseudo_labels)
    known = read_json(folder / "pseudo_labels.json")["scans"]
    found = []
    for scan in Cohort.open(dataset_dir).training:
        if scan.id not in known or scan.label is None:
            continue
        label, _ = read_labels_ras(folder / known[scan.id]["label"])
        truth = read_labels_ras(scan.label)[0][label != 255] > 0
        predicted = label[label != 255] > 0
        dice = 2 * np.sum(predicted & truth) / max(1, predicted.sum() + truth.sum())
        found.append((float(dice), float(np.mean(label != 255)), float(known[scan.id]["confidence"])))
    return found


def summary(scores: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Mean Dice, mean share of labelled voxels, and Spearman's correlation of confidence and Dice."""
    dice, labelled, confidence = (list(values) for values in zip(*scores, strict=True))
    return statistics.mean(dice), statistics.mean(labelled), float(spearmanr(confidence, dice).statistic)


if __name__ == "__main__":
    fire.Fire(main)
