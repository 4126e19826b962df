"""Scans with dense labels, from a cohort folder or from the left-atrium benchmark's h5 folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from common.cohort.volumes import read_labels_ras, read_ras, spacing

H5_SPACING = (0.625, 0.625, 0.625)


@dataclass(frozen=True)
class LabelledScan:
    """A scan's image and label map (both `[H, W, D]`, RAS, contiguous), and the size of its voxels in millimetres."""

    name: str
    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    spacing: tuple[float, float, float]

    def halved(self) -> LabelledScan:
        """The scan at half the resolution: means of 2x2x2 voxels, which are rounded for the label."""
        image, label = _block_means(self.image), _block_means(self.label > 0) >= 0.5
        spacing = tuple(2 * size for size in self.spacing)
        return LabelledScan(self.name, image, label.astype(np.uint8), spacing)  # type: ignore[arg-type]


def labelled_scans(folder: str, part: str = "validation", number: int | None = None) -> Iterator[LabelledScan]:
    """Yields the labelled scans of a folder one by one.

    Args:
        folder: A cohort folder with `datalist.json`, or a folder with `train.list` and `CASE/mri_norm2.h5`.
        part: `validation` or `training`; in an h5 folder, the last 16 cases are the validation scans.
        number: Number of scans to read, from the first on; all by default.

    Raises:
        FileNotFoundError: If the folder is neither of these.
        ValueError: If `part` is neither of these.
    """
    root = Path(folder)
    if part not in ("training", "validation"):
        raise ValueError(f"part must be training or validation, got {part!r}")
    if (root / "datalist.json").is_file():
        for item in json.loads((root / "datalist.json").read_text())[part][:number]:
            pixels, affine = read_ras(root / item["image"])
            label, _ = read_labels_ras(root / item["label"])
            size = tuple(spacing(affine).tolist())
            # A scan that is not RAS comes as a view with negative strides, which torch does not take.
            pixels, label = np.ascontiguousarray(pixels, dtype=np.float32), np.ascontiguousarray(label)
            yield LabelledScan(item["image"], pixels, label, size)
    elif (root / "train.list").is_file():
        names = (root / "train.list").read_text().split()
        for name in (names[-16:] if part == "validation" else names[:-16])[:number]:
            with h5py.File(root / name / "mri_norm2.h5") as file:
                pixels, label = file["image"][:].astype(np.float32), file["label"][:].astype(np.uint8)
            yield LabelledScan(name, pixels, label, H5_SPACING)
    else:
        raise FileNotFoundError(
            f"{root}: expected datalist.json (a cohort) or train.list (the h5 benchmark), found neither."
        )


def _block_means(volume: NDArray) -> NDArray[np.float32]:
    height, width, depth = (size // 2 for size in volume.shape)
    even = volume[: 2 * height, : 2 * width, : 2 * depth].astype(np.float32)
    return even.reshape(height, 2, width, 2, depth, 2).mean(axis=(1, 3, 5))
