"""How good the masks are that an annotator gets for a point, three points, or a box.

    python benchmarks/label_prompts.py --data FOLDER [--generalist embedded] [--scans 25]

FOLDER has NIfTI files in ``images`` and, of the same names, ``labels``. All classes count as one object. In each view
the slice with the largest section is taken, and on it the largest part. The point is the one deepest inside; the two
further ones are the first and the last of the object's pixels, in reading order; the box is tight.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import fire
import numpy as np
from scipy import ndimage

from common.cohort.volumes import read_voxels, spacing
from common.generalists import open_generalist
from common.labelling import prompted_mask
from common.labelling.prompted import Plane


def main(data: str, generalist: str = "embedded", scans: int = 25) -> None:
    """Prints the mean Dice of each kind of prompt.

    Args:
        data: Folder of the scans.
        generalist: The promptable model.
        scans: Number of scans, the first by name.
    """
    model = open_generalist(generalist)
    found: dict[str, list[float]] = {"one point": [], "three points": [], "box": []}
    for file in sorted(Path(data, "images").glob("*.nii*"))[:scans]:
        voxels, image = read_voxels(file)
        label = np.asarray(read_voxels(Path(data, "labels", file.name))[0]) > 0
        for axis in range(3):
            area = label.sum(axis=tuple(other for other in range(3) if other != axis))
            plane = Plane(axis, int(area.argmax()))
            part = _largest_part(np.take(label, plane.index, axis))
            for name, prompt in _prompts(part, plane).items():
                mask = prompted_mask(model, voxels, spacing(image.affine).tolist(), [plane], **prompt)
                flat = np.take(mask, plane.index, axis) > 0
                found[name].append(2 * (flat & part).sum() / (flat.sum() + part.sum()))
    print(f"{generalist}, {scans} scans, {date.today().isoformat()}")
    for name, dices in found.items():
        print(f"{name}: mean Dice {np.mean(dices):.3f}, worst {min(dices):.3f}, of {len(dices)} slices")


def _largest_part(mask: np.ndarray) -> np.ndarray:
    parts, count = ndimage.label(mask)
    return parts == 1 + np.argmax(ndimage.sum(mask, parts, range(1, count + 1)))


def _prompts(part: np.ndarray, plane: Plane) -> dict[str, dict]:
    depth = ndimage.distance_transform_edt(part)
    inner = np.argwhere(depth >= 1)
    points = [np.unravel_index(depth.argmax(), depth.shape), inner[0], inner[-1]]
    voxels = [_voxel(point, plane) for point in points]
    rows, columns = (np.flatnonzero(part.any(axis=axis)) for axis in (1, 0))
    low = _voxel((rows[0], columns[0]), plane)
    high = _voxel((rows[-1] + 1, columns[-1] + 1), plane, further=1)
    box = [low[0], low[1], high[0], high[1], low[2], high[2]]
    return {"one point": {"foreground": voxels[:1]}, "three points": {"foreground": voxels}, "box": {"box": box}}


def _voxel(pixel: np.ndarray | tuple, plane: Plane, further: int = 0) -> list[int]:
    place = [int(it) for it in pixel]
    place.insert(plane.axis, plane.index + further)
    return place


if __name__ == "__main__":
    fire.Fire(main)
