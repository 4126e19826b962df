"""Measures how well a generalist labels scans from prompts by true masks, by degraded masks, and by a cross-label.

    python benchmarks/generalist_quality.py --data COHORT [--part training --number 6] [--half]
    python benchmarks/generalist_quality.py --data COHORT --generalist mobile_sam --slices_per_pass 16
    python benchmarks/generalist_quality.py --data COHORT --generalist embedded+lite_medsam --widen_mm tight \\
        --results quality.jsonl --table quality.md

Nothing is trained or chosen here. Degraded masks, which imitate an imperfect teacher, are eroded, dilated or ragged.
Classes are merged into one foreground. Of several generalists, each is measured by itself, and then the vote among the
views of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import fire
import numpy as np
import torch
from numpy.typing import NDArray
from scan_results import ScanResult, append_result, markdown_table, read_results
from scans import LabelledScan, labelled_scans
from scipy import ndimage

from common.annotations.cross_label import cross_label, middle_slices
from common.checks import yes_or_no
from common.cohort.volumes import VIEWS
from common.files import replacing
from common.generalists import FUSIONS, Generalist, MultiViewLabeler, Propagation, open_generalist


def main(
    data: str,
    part: str = "validation",
    number: int | None = None,
    half: bool = False,
    generalist: str = "embedded",
    checkpoint: str | None = None,
    slices_per_pass: int = 1,
    embedding_cache: str | None = None,
    widen_mm: str | Sequence[float] = (0.0, 6.25),
    propagate: bool = True,
    degradation: float = 1.0,
    seed: int = 0,
    results: str | None = None,
    table: str | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Prints a table of Dice (foreground against background): mean, standard deviation and minimum over scans.

    Args:
        data: A cohort folder (or the h5 folder of the left-atrium benchmark).
        part: `validation` or `training`.
        number: Number of scans, from the first on; all by default.
        half: Whether to label at half the resolution.
        generalist: Name of the generalist, as `common.generalists.open_generalist` takes it, or several joined by `+`.
        checkpoint: File of the generalist's weights; by default the usual ones.
        slices_per_pass: Slices that share a pass of SAM's encoder; compare 1 with 16 to see what that costs in Dice.
        embedding_cache: Folder in which a SAM keeps its image embeddings, which all prompts of a scan can then share.
        widen_mm: Least and greatest distance in mm by which a side of a box is moved outwards, as `[0.0,6.25]`; `tight`
            for boxes that touch the mask.
        propagate: Whether to measure the propagation of a cross-label too.
        degradation: Factor of the distances by which masks are degraded; 1 suits objects as large as a left atrium.
        seed: Seed of the degraded masks and the prompts of the first scan; each further scan takes the next number.
        results: File that gets a line of JSON per scan. The same command resumes from it; lines of other settings are
            kept and left out of the table.
        table: File that gets the table as it is printed.
        device: Device that the generalist runs on.
        threads: Number of CPU threads.

    Raises:
        ValueError: If a setting makes no sense.
    """
    torch.set_num_threads(threads)
    names = generalist.split("+")
    if len(set(names)) < len(names) or (checkpoint is not None and len(names) > 1):
        raise ValueError(
            f"generalist must be names joined by +, each once, and a single one if there is a checkpoint; got "
            f"{generalist!r} and checkpoint {checkpoint!r}."
        )
    half, propagate, widening = yes_or_no("half", half), yes_or_no("propagate", propagate), parsed_widening(widen_mm)
    settings: dict[str, Any] = {
        "data": str(data),
        "part": part,
        "half": half,
        "generalist": generalist,
        "checkpoint": checkpoint,
        "slices_per_pass": slices_per_pass,
        "widen_mm": list(widening),
        "propagate": propagate,
        "degradation": degradation,
    }
    models: dict[str, Generalist] = {}
    for name in names:
        speed: dict[str, Any] = {"slices_per_pass": slices_per_pass, "embedding_cache": embedding_cache}
        if name == "embedded" and len(names) > 1:
            speed = {}
        models[name] = open_generalist(name, device, checkpoint=checkpoint, **speed)

    kept = [] if results is None else read_results(results)
    used: list[ScanResult] = []
    for scan_seed, scan in enumerate(labelled_scans(data, part, number), start=seed):
        wanted = settings | {"seed": scan_seed}
        result = next((each for each in kept if each.settings == wanted and each.scan == scan.name), None)
        if result is None:
            scan = scan.halved() if half else scan
            rows = measured(scan, models, widening, scan_seed, device, propagate, degradation)
            result = ScanResult(wanted, scan.name, date.today().isoformat(), rows)
            if results is not None:
                append_result(results, result)
        used.append(result)
    facts = (
        f"{len(used)} {part} scans of {data}{' at half resolution' if half else ''}, {generalist}, boxes widened by "
        f"{widening[0]:g} to {widening[1]:g} mm, slices_per_pass {slices_per_pass}, "
        f"degradation {degradation:g}, seed {seed}, "
        f"{' and '.join(sorted({each.date for each in used}))}"
    )
    text = f"{facts}\n\n{markdown_table(used)}"
    print(text, end="")
    if table is not None:
        with replacing(table) as temporary:
            Path(temporary).write_text(text)


def measured(
    scan: LabelledScan,
    models: dict[str, Generalist],
    widen_mm: tuple[float, float],
    seed: int,
    device: str = "cpu",
    propagate: bool = True,
    degradation: float = 1.0,
) -> list[list[Any]]:
    """Measures every generalist on a scan, and the vote of all their views if there are several.

    Args:
        scan: The scan; its classes are merged.
        models: The generalists, by name.
        widen_mm: Least and greatest distance in mm by which a side of a box is moved outwards.
        seed: Seed of the degraded masks and the prompts, which are the same for all generalists.
        device: Device that the generalists run on.
        propagate: Whether to measure the propagation of a cross-label too.
        degradation: Factor of the distances by which masks are degraded.

    Returns:
        Rows `[prompts, generalist, label, number]`.
    """
    truth = scan.label > 0
    image = torch.from_numpy(scan.image).to(device)
    rows: list[list[Any]] = []
    for prompts, mask in teachers(truth, scan.spacing, seed, degradation).items():
        rows.append([prompts, "none", "prompting mask itself", dice(mask, truth)])
        views = {
            name: MultiViewLabeler(model, widen_mm=widen_mm).view_probabilities(
                image, mask.astype(np.uint8), scan.spacing, seed
            )
            for name, model in models.items()
        }
        for name, found in views.items():
            for view, probabilities in zip(VIEWS, found, strict=True):
                rows.append([prompts, name, view, dice(as_mask(probabilities[1] > 0.5), truth)])
            rows += [[prompts, name, label, number] for label, number in fused(found, truth).items()]
        if len(views) > 1:
            joint = fused(torch.cat(list(views.values())), truth)
            rows += [[prompts, "+".join(views), label, number] for label, number in joint.items()]
    annotation = cross_label(truth.astype(np.uint8), middle_slices(truth.astype(np.uint8)))
    for name, model in models.items() if propagate else ():
        label = Propagation(model)(image, annotation, scan.spacing, seed).cpu().numpy()
        rows.append(["cross-label", name, "propagated", dice(label == 1, truth)])
        rows.append(["cross-label", name, "share labelled", float((label != 255).mean())])
    return rows


def fused(views: torch.Tensor, truth: NDArray[np.bool_]) -> dict[str, float]:
    """Dice of each way to fuse views `[V, 2, H, W, D]`, and of the voxels alone on which they agree."""
    found = {name: dice(as_mask(fuse(views) == 1), truth) for name, fuse in FUSIONS.items()}
    choice = FUSIONS["mean"](views, abstain=True)
    sure = as_mask(choice != 255)
    return found | {"where views agree": dice(as_mask(choice == 1)[sure], truth[sure])}


def parsed_widening(given: str | Sequence[float]) -> tuple[float, float]:
    """The two distances in mm that a setting names, or 0 and 0 for `tight`.

    Raises:
        ValueError: If the setting is anything else.
    """
    if given == "tight":
        return 0.0, 0.0
    try:
        low, high = (float(distance) for distance in given)
    except (TypeError, ValueError):
        low, high = -1.0, -1.0
    if not 0 <= low <= high:
        raise ValueError(f"widen_mm must be tight, or two distances in mm as in [0.0,6.25], got {given!r}.")
    return low, high


def teachers(
    truth: NDArray[np.bool_], spacing: tuple[float, float, float], seed: int, degradation: float = 1.0
) -> dict[str, NDArray[np.bool_]]:
    """The true mask and three degraded ones, by name.

    Args:
        truth: The true mask.
        spacing: Size of a voxel in mm along each axis.
        seed: Seed of the ragged mask.
        degradation: Factor of the distances: 2.5 mm of erosion, 3.75 mm of dilation, and 5 mm as the standard deviation
            of the ragged mask's surface, which changes over 3.75 mm.
    """
    random = np.random.default_rng(seed)
    inner = ndimage.distance_transform_edt(truth, spacing)
    outer = ndimage.distance_transform_edt(~truth, spacing)
    distance = inner - outer
    waves = ndimage.gaussian_filter(random.normal(size=truth.shape), 3.75 * degradation / np.array(spacing))
    waves = waves / waves.std()
    return {
        "true": truth,
        "eroded": distance > 2.5 * degradation,
        "dilated": distance > -3.75 * degradation,
        "ragged": distance + 5.0 * degradation * waves > 0,
    }


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """The Dice coefficient of two masks; 1 if both are empty."""
    total = found.sum() + truth.sum()
    return float(2 * (found & truth).sum() / total) if total else 1.0


def as_mask(mask: torch.Tensor) -> NDArray[np.bool_]:
    return mask.cpu().numpy()


if __name__ == "__main__":
    fire.Fire(main)
