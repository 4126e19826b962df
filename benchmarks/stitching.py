"""Compares the speed of stitching with augmentation: batched against slice by slice.

    python benchmarks/stitching.py

What is timed are random intensity curves for the slices of a batch of left-atrium patches with labels, stitching, and
rotation and flip of the stitched images. The reference is a plain NumPy loop like those in research code, which
evaluates 100,000 points of a curve for every slice, sorts them and interpolates.
"""

from __future__ import annotations

import time

import fire
import numpy as np
import torch
from monai.transforms import Compose, RandFlipd, RandRotate90d
from numpy.typing import NDArray
from torch import Tensor

from common.transforms import random_intensity_curves, stitch

POINTS = 100_000


def main(batch: int = 2, prob: float = 1.0, size: int = 1024, repeat: int = 5, threads: int = 1) -> None:
    """Prints milliseconds of processor time, which other load on the machine hardly changes, and the ratio.

    Args:
        batch: Number of volumes of 112×112×80 voxels.
        prob: Probability that the intensities of a slice are changed along a curve.
        size: Side of the stitched images in pixels.
        repeat: Number of runs of each variant; the fastest counts.
        threads: Number of CPU threads.
    """
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    volumes = torch.randn(batch, 1, 112, 112, 80, generator=generator)
    labels = (volumes > 1).to(torch.uint8)
    rotate_and_flip = Compose(
        [
            RandRotate90d(("image", "label"), prob=0.75, spatial_axes=(1, 2)),
            RandFlipd(("image", "label"), prob=0.5, spatial_axis=1),
        ]
    )
    rotate_and_flip.set_random_state(0)
    rng = np.random.default_rng(0)
    ways = {
        "batched": lambda: batched(volumes, labels, size, prob, generator, rotate_and_flip),
        "plain loop": lambda: plain_loop(volumes.numpy(), labels.numpy(), size, prob, rng),
    }
    seconds = {}
    for name, way in ways.items():
        times = []
        for _ in range(repeat):
            start = time.process_time()
            way()
            times.append(time.process_time() - start)
        seconds[name] = min(times)
    print(
        f"{batch} volumes of 112×112×80 on {size}×{size}, curves on {100 * prob:.0f} % of slices, {threads} thread(s)"
    )
    print(f"{'':10} {'ms':>8} {'ratio':>6}")
    for name, best in seconds.items():
        print(f"{name:10} {1000 * best:8.1f} {best / seconds['batched']:6.1f}")


def batched(
    volumes: Tensor, labels: Tensor, size: int, prob: float, generator: torch.Generator, rotate_and_flip: Compose
) -> list[dict[str, Tensor]]:
    """The augmentation as in a training step of this project."""
    images, _ = stitch(random_intensity_curves(volumes, generator, prob=prob, inverted=0.5, rescale=True), size)
    targets, _ = stitch(labels, size, fill=255)
    return [rotate_and_flip({"image": image, "label": target}) for image, target in zip(images, targets, strict=True)]


def plain_loop(
    volumes: NDArray[np.float32], labels: NDArray[np.uint8], size: int, prob: float, rng: np.random.Generator
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The reference: the same augmentation, slice by slice."""
    stitched = []
    for volume, label in zip(volumes[:, 0], labels[:, 0], strict=True):
        height, width, depth = volume.shape
        grid = size // height
        tile = size // grid
        top, left = (tile - height) // 2, (tile - width) // 2
        image = np.zeros((size, size), np.float32)
        target = np.full((size, size), 255, np.float32)
        for index in range(depth):
            section = volume[..., index]
            if rng.random() < prob:
                section = changed(section, rng)
            row, column = index // grid * tile + top, index % grid * tile + left
            image[row : row + height, column : column + width] = section
            target[row : row + height, column : column + width] = label[..., index]
        turns, axis = rng.integers(4), rng.integers(2)
        image = np.flip(np.rot90(image, turns), axis).copy()
        target = np.flip(np.rot90(target, turns), axis).copy()
        stitched.append((image, target))
    return stitched


def changed(section: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float64]:
    """Changes a slice's intensities along its own random curve of 100,000 points; half of the curves are inverted."""
    t = np.linspace(0, 1, POINTS)
    basis = np.array([(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3])
    x, y = np.array([[0, 0], rng.random(2), rng.random(2), [1, 1]]).T @ basis
    if rng.random() < 0.5:
        y = y[::-1]
    low, high = section.min(), section.max()
    return np.interp((section - low) / (high - low), np.sort(x), y) * (high - low) + low


if __name__ == "__main__":
    fire.Fire(main)
