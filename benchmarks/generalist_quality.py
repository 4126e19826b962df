"""Measures how well a generalist labels scans from prompts by true masks, by degraded masks, and by a cross-label.

    python benchmarks/generalist_quality.py --data COHORT [--part training --number 6] [--half]
    python benchmarks/generalist_quality.py --data COHORT --generalist mobile_sam --slices_per_pass 16

Nothing is trained or chosen here. Degraded masks, which imitate an imperfect teacher, are eroded, dilated or ragged.
"""

from __future__ import annotations

from collections import defaultdict

import fire
import numpy as np
import torch
from numpy.typing import NDArray
from scans import labelled_scans
from scipy import ndimage

from common.annotations.cross_label import cross_label, middle_slices
from common.cohort.volumes import VIEWS
from common.generalists import FUSIONS, MultiViewLabeler, Propagation, open_generalist


def main(
    data: str,
    part: str = "validation",
    number: int | None = None,
    half: bool = False,
    generalist: str = "embedded",
    checkpoint: str | None = None,
    slices_per_pass: int = 1,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Prints tables of Dice (foreground against background): mean, standard deviation and minimum over scans.

    Args:
        data: A cohort folder (or the h5 folder of the left-atrium benchmark).
        part: `validation` or `training`.
        number: Number of scans, from the first on; all by default.
        half: Whether to label at half the resolution.
        generalist: Name of the generalist, as `common.generalists.open_generalist` takes it.
        checkpoint: File of the generalist's weights; by default the usual ones.
        slices_per_pass: Slices that share a pass of SAM's encoder; compare 1 with 16 to see what that costs in Dice.
        device: Device that the generalist runs on.
        threads: Number of CPU threads.
    """
    torch.set_num_threads(threads)
    model = open_generalist(generalist, device, checkpoint=checkpoint, slices_per_pass=slices_per_pass)
    labeler = MultiViewLabeler(model)
    propagation = Propagation(model)
    table: dict[str, list[float]] = defaultdict(list)
    for seed, scan in enumerate(labelled_scans(data, part, number)):
        scan = scan.halved() if half else scan
        truth = scan.label > 0
        image = torch.from_numpy(scan.image).to(device)
        for name, mask in teachers(truth, scan.spacing, seed).items():
            views = labeler.view_probabilities(image, mask.astype(np.uint8), scan.spacing, seed)
            table[f"{name} | teacher itself"].append(dice(mask, truth))
            for view, probabilities in zip(VIEWS, views, strict=True):
                table[f"{name} | {view}"].append(dice(as_mask(probabilities[1] > 0.5), truth))
            for fused, fuse in FUSIONS.items():
                table[f"{name} | {fused}"].append(dice(as_mask(fuse(views) == 1), truth))
            sure = as_mask(fuse(views, abstain=True) != 255)
            table[f"{name} | where views agree"].append(dice(as_mask(fuse(views) == 1)[sure], truth[sure]))
        annotation = cross_label(scan.label, middle_slices(scan.label))
        label = propagation(image, annotation, scan.spacing, seed).cpu().numpy()
        table["cross-label | propagated"].append(dice(label == 1, truth))
        table["cross-label | share labelled"].append(float((label != 255).mean()))
    scans = len(table["cross-label | propagated"])
    print(f"{scans} {part} scans of {data}{' at half resolution' if half else ''}, {generalist}")
    print(f"{'prompts from | label':32} {'mean':>6} {'sd':>6} {'min':>6}")
    for row, values in table.items():
        print(f"{row:32} {np.mean(values):6.3f} {np.std(values):6.3f} {np.min(values):6.3f}")


def teachers(truth: NDArray[np.bool_], spacing: tuple[float, float, float], seed: int) -> dict[str, NDArray[np.bool_]]:
    """The true mask and three degraded ones, by name."""
    random = np.random.default_rng(seed)
    inner = ndimage.distance_transform_edt(truth, spacing)
    outer = ndimage.distance_transform_edt(~truth, spacing)
    distance = inner - outer
    waves = ndimage.gaussian_filter(random.normal(size=truth.shape), 3.75 / np.array(spacing))
    waves = waves / waves.std()
    return {
        "true": truth,
        "eroded": distance > 2.5,
        "dilated": distance > -3.75,
        "ragged": distance + 5.0 * waves > 0,
    }


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """The Dice coefficient of two masks."""
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def as_mask(mask: torch.Tensor) -> NDArray[np.bool_]:
    return mask.cpu().numpy()


if __name__ == "__main__":
    fire.Fire(main)
