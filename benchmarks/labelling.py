"""Compares the speed of multi-view labelling with the embedded generalist: batched against object by object.

    python benchmarks/labelling.py --data COHORT

Three variants label from the same prompts in one thread: the labeler as it is; it with one object per call; and a
plain loop like those in research code, which passes one object of one slice after the other through the float32
network. Without `--data`, a volume of a left-atrium scan's size with a bright, noisy chamber is labelled.
"""

from __future__ import annotations

import time

import fire
import numpy as np
import torch
from scans import LabelledScan, labelled_scans
from torch import Tensor

from common.cohort.volumes import VIEWS
from common.generalists import EmbeddedGeneralist, MultiViewLabeler, prompts_from_masks
from common.generalists.embedded.crops import CropFrames, paste
from common.generalists.embedded.generalist import load_prompt_unet
from common.generalists.embedded.prompt_unet import CROP_SIZE, prompted_crops


def main(data: str | None = None, repeat: int = 3, threads: int = 1) -> None:
    """Prints seconds of processor time, which other load hardly changes, ratios and the agreement of the labels.

    Args:
        data: A cohort folder (or the h5 folder of the left-atrium benchmark); its first validation scan is used.
        repeat: Number of runs of each variant; the fastest counts.
        threads: Number of CPU threads.
    """
    torch.set_num_threads(threads)
    scan = chamber() if data is None else next(labelled_scans(data))
    image = torch.from_numpy(scan.image)
    label = (scan.label > 0).astype(np.uint8)
    generalist = EmbeddedGeneralist()
    alone = EmbeddedGeneralist(batch_size=1, precision=generalist.precision)
    ways = {
        "batched": lambda: MultiViewLabeler(generalist)(image, label, scan.spacing),
        "one object per call": lambda: MultiViewLabeler(alone, prompts_per_call=1)(image, label, scan.spacing),
        "plain loop, fp32": lambda: plain_loop(image, label, scan.spacing),
    }
    ways["batched"]()
    found, seconds = {}, {}
    for name, way in ways.items():
        times = []
        for _ in range(repeat):
            start = time.process_time()
            found[name] = way()
            times.append(time.process_time() - start)
        seconds[name] = min(times)
    print(f"scan {scan.name} {tuple(image.shape)}, {generalist.precision}, {threads} thread(s)")
    print(f"{'':19} {'seconds':>8} {'ratio':>6} {'same label (% of voxels)':>25}")
    for name in ways:
        same = 100 * (found[name] == found["batched"]).float().mean().item()
        print(f"{name:19} {seconds[name]:8.2f} {seconds[name] / seconds['batched']:6.2f} {same:25.4f}")


@torch.no_grad()
def plain_loop(image: Tensor, label: np.ndarray, spacing: tuple[float, float, float], seed: int = 0) -> Tensor:
    """The reference: the majority of three views, slice by slice and object by object in float32."""
    generator = torch.Generator().manual_seed(seed)
    votes = torch.zeros(image.shape)
    for axis in VIEWS.values():
        network = load_prompt_unet()
        pixel = tuple(size for other, size in enumerate(spacing) if other != axis)
        prompts = prompts_from_masks(np.moveaxis(label, axis, 0), pixel, generator)  # type: ignore[arg-type]
        found = torch.zeros_like(image).movedim(axis, 0)
        for index in range(image.shape[axis]):
            section = image.movedim(axis, 0)[index][None]
            for number in (prompts.slice_index == index).nonzero()[:, 0].tolist():
                prompt = prompts[number : number + 1]
                frames = CropFrames.around(prompt.boxes, CROP_SIZE, spacing=pixel)  # type: ignore[arg-type]
                crop = network(prompted_crops(section, prompt, frames)).sigmoid()[:, 0]
                found[index] = torch.maximum(found[index], paste(crop, frames, section.shape[1:])[0])  # type: ignore[arg-type]
        votes += found.movedim(0, axis) > 0.5
    return (votes >= 2).to(torch.uint8)


def chamber(shape: tuple[int, int, int] = (183, 140, 88), seed: int = 0) -> LabelledScan:
    """A bright, noisy ellipsoid with four vessels in a volume of a left-atrium scan's size."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    inside = (grid[0] / 0.42) ** 2 + (grid[1] / 0.38) ** 2 + (grid[2] / 0.55) ** 2 < 1
    for side, top in ((-1, -0.2), (-1, 0.25), (1, -0.2), (1, 0.25)):
        tube = np.hypot(grid[1] - 0.1, grid[2] - top) < 0.12
        inside |= tube & (grid[0] * side > 0) & (np.abs(grid[0]) < 0.65)
    noise = np.random.default_rng(seed).normal(size=shape)
    image = (inside * 1.5 + 0.4 * noise).astype(np.float32)
    return LabelledScan("a made-up chamber", image, inside.astype(np.uint8), (0.625, 0.625, 0.625))


if __name__ == "__main__":
    fire.Fire(main)
