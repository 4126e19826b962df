"""Compares multi-view labelling with MobileSAM, batched, stitched and cached, with the plain loop of research code.

    python benchmarks/sam_labelling.py --data COHORT [--device cuda]

The plain loop builds the model once per view. It passes each slice with prompts to `SamPredictor.set_image` and each of
the slice's objects to `predict`, in float32. Its encoder is the published one where mobilesam-mirror is installed,
else this project's. Weights are random, which does not affect the times; nothing here is about quality.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from typing import Any

import fire
import numpy as np
import torch
from labelling import chamber
from numpy.typing import NDArray
from reference_sam import MOBILE_SAM, as_rgb, sam_predictor, tiny_vit
from scans import labelled_scans
from torch import Tensor

from common.cohort.volumes import VIEWS
from common.generalists import MultiViewLabeler, SamGeneralist, prompts_from_masks
from common.generalists.sam import EmbeddingCache
from common.generalists.sam.models import KINDS


def main(
    data: str | None = None, slices: int = 16, device: str = "cpu", threads: int = 1, kind: str = "mobile_sam"
) -> None:
    """Prints the seconds and memory of each variant, and how many times as long the plain loop takes.

    Args:
        data: A cohort folder (or the h5 folder of the left-atrium benchmark); its first validation scan is used. By
            default a made-up volume of a left-atrium scan's size.
        slices: Number of slices per view to label: neighbours around the middle of the object.
        device: Device to run on.
        threads: Number of CPU threads.
        kind: Kind of SAM.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    scan = chamber() if data is None else next(labelled_scans(data))
    image = torch.from_numpy(scan.image).to(device)
    masks = middle_masks((scan.label > 0).astype(np.uint8), slices)
    model = KINDS[kind].build()
    print(f"{kind}, random weights, scan {scan.name} {tuple(image.shape)}, {slices} slices per view, {device}")

    with tempfile.TemporaryDirectory() as folder:
        cache = EmbeddingCache(folder)
        ways: dict[str, Callable[[], Any]] = {
            "first round": lambda: label(SamGeneralist(model, device), image, masks, scan.spacing),
            "16 slices per pass": lambda: label(
                SamGeneralist(model, device, slices_per_pass=16), image, masks, scan.spacing
            ),
            "first round, filling the cache": lambda: label(
                SamGeneralist(model, device, cache=cache), image, masks, scan.spacing
            ),
            "later round, from the cache": lambda: label(
                SamGeneralist(model, device, cache=cache), image, masks, scan.spacing
            ),
        }
        seconds = {}
        for name, way in ways.items():
            seconds[name] = timed(way, device)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(f"{name:32} {seconds[name]:8.1f} s   (peak memory of the process so far {memory:.1f} GB)", flush=True)
    plain = timed(lambda: plain_loop(kind, model.state_dict(), image, masks, scan.spacing), device)
    print(f"{'plain loop':32} {plain:8.1f} s")
    for name, taken in seconds.items():
        print(f"{name:32} {plain / taken:8.1f} x")


def timed(way: Callable[[], Any], device: str) -> float:
    """Seconds that a variant takes; on the CPU of processor time, which other load hardly changes."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    way()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - start


def middle_masks(label: NDArray[np.uint8], slices: int) -> dict[int, NDArray[np.uint8]]:
    """For each axis, the label on a number of slices around its middle, and background on the others."""
    found = {}
    for axis in VIEWS.values():
        there = np.flatnonzero(label.any(axis=tuple(other for other in range(3) if other != axis)))
        begin = max(int(there[len(there) // 2]) - slices // 2, 0)
        kept = np.zeros_like(label)
        window = tuple(slice(begin, begin + slices) if other == axis else slice(None) for other in range(3))
        kept[window] = label[window]
        found[axis] = kept
    return found


def label(
    generalist: SamGeneralist, image: Tensor, masks: dict[int, NDArray[np.uint8]], spacing: tuple[float, float, float]
) -> list[Tensor]:
    """The foreground probabilities of each view, as this project's labeler computes them."""
    return [
        MultiViewLabeler(generalist, views=(view,)).view_probabilities(image, masks[axis], spacing)[0, 1]
        for view, axis in VIEWS.items()
    ]


def plain_loop(
    kind: str,
    state: dict[str, Tensor],
    image: Tensor,
    masks: dict[int, NDArray[np.uint8]],
    spacing: tuple[float, float, float],
) -> list[Tensor]:
    """The reference: masks of each view, slice by slice and object by object as in research code."""
    found = []
    generator = torch.Generator().manual_seed(0)
    for axis in VIEWS.values():
        model: Any = KINDS[kind].build()
        if kind == "mobile_sam" and (reference := tiny_vit()):
            model.image_encoder = reference(1024, **MOBILE_SAM, drop_path_rate=0.0)
        model.load_state_dict(state)
        model.image_encoder.img_size = 1024
        predictor = sam_predictor()(model.to(image.device).eval())
        row, column = (size for other, size in enumerate(spacing) if other != axis)
        prompts = prompts_from_masks(np.moveaxis(masks[axis], axis, 0), (row, column), generator)
        slices = image.movedim(axis, 0).cpu().numpy()
        view = torch.zeros(slices.shape)
        for index in prompts.slice_index.unique().tolist():
            low, high = slices[index].min(), slices[index].max()
            grey = ((slices[index] - low) / (high - low) * 255).astype(np.uint8)
            predictor.set_image(as_rgb(grey))
            for number in (prompts.slice_index == index).nonzero()[:, 0].tolist():
                candidates, quality, _ = predictor.predict(
                    point_coords=prompts.points[number].numpy(),
                    point_labels=prompts.point_labels[number].numpy(),
                    box=prompts.boxes[number].numpy(),
                )
                view[index] = torch.maximum(view[index], torch.from_numpy(candidates[quality.argmax()]).float())
        found.append(view)
    return found


if __name__ == "__main__":
    fire.Fire(main)
