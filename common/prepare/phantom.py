"""Phantoms: made-up scans similar to gadolinium-enhanced MRI of a heart, in which to segment the left atrium.

The atrium is a bright chamber with veins, beside other chambers and vessels that are as bright, so that only shape and
context tell them apart. Pose and shape vary from scan to scan, and so do contrast, bias field and noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from common.checks import check_one_of
from common.cohort.cohort import Cohort, write_datalist
from common.files import claim, write_nifti

FIELD_OF_VIEW = 80.0
"""Side of a phantom in millimetres."""

LABELS = {1: "left atrium"}
MOST_THREADS = 4
"""Number of phantoms that are made at a time, at most: each takes about 160 bytes per voxel meanwhile."""

Vector = Sequence[float] | np.ndarray

ORIENTATIONS = ("RAS", "LPS", "RAS", "ASL", "RAS", "LPI")
"""Orientations of a cohort's files, which take turns."""


@dataclass(frozen=True)
class Domain:
    """How phantoms of one hospital differ from those of another, mostly as factors of the usual values.

    Attributes:
        stretch: Factors for the anatomy's coordinates along right, anterior and superior; above 1 makes it smaller.
        chambers: Factor for the brightness of the blood outside the atrium.
        contrast: Factor for the exponent of the brightness.
        blur: Factor for the image's blur.
        bias: Factor for the strength of the bias field.
        noise: Factor for the noise.
        fading: Width of the band across which the atrium's border fades, as a share of half the field of view; 0 is a
            sharp border.
        far_noise: Further factor for the noise beyond ``FAR``.
        black_blood: Whether brightness is inverted, so that blood is dark.
    """

    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)
    chambers: float = 1.0
    contrast: float = 1.0
    blur: float = 1.0
    bias: float = 1.0
    noise: float = 1.0
    fading: float = 0.0
    far_noise: float = 1.0
    black_blood: bool = False


SOURCE = Domain(stretch=(1.12, 0.9, 1.1), chambers=0.85, contrast=1.5, blur=1.5, bias=0.5, noise=0.5)

DOMAINS = {
    "target": Domain(),
    "source": SOURCE,
    "unlike_source": replace(SOURCE, black_blood=True),
    "hard_organ": replace(SOURCE, fading=0.6),
    "hard_background": replace(SOURCE, far_noise=8.0),
}
"""The domains by name:

- ``target``: the usual phantoms;
- ``source``: other patients in another scanner, on which a model can be pre-trained;
- ``unlike_source``: the source's patients in a black-blood sequence: the atrium is as distinct, all looks different;
- ``hard_organ``: the source's patients with an atrium that has no sharp border;
- ``hard_background``: the source's patients with strong noise far from the atrium.

For the same seed, the last three have the source's labels. They were made and tuned for ``benchmarks/planted.py``.
"""

FAR = 0.4
"""Approximate distance from the label beyond which ``far_noise`` applies, as a share of half the field of view."""

BLACK_BLOOD = 1.2
"""The brightness of black-blood phantoms is this minus the usual one, which for blood is about 1."""


def phantom_volume(
    size: int | Sequence[int] = 64, seed: int | Sequence[int] = 0, domain: str = "target"
) -> tuple[np.ndarray, np.ndarray]:
    """Makes one scan in RAS orientation, and its label.

    Args:
        size: Number of voxels along all axes, or along each; at least 16. The anatomy always fills the volume.
        seed: Seed of the scan.
        domain: Name of one of ``DOMAINS``.

    Returns:
        The image, float32 ``[H, W, D]``, in arbitrary units from 0 to about 1000, and the label, uint8 ``[H, W, D]``,
        which is 1 in the atrium and the beginnings of its veins.

    Raises:
        ValueError: If the size is too small or not one or three numbers, or the domain is unknown.
    """
    check_one_of("domain", domain, DOMAINS)
    shape, shift = _shape(size), DOMAINS[domain]
    rng = np.random.default_rng(seed)
    space = _anatomical_space(shape, rng) * np.array(shift.stretch, np.float32)[:, None, None, None]
    atrium, veins = _atrium(space, rng)
    chambers, muscle = _chambers(space, rng)
    apart = atrium - rng.uniform(0.03, 0.06)

    brightness = rng.uniform(0.38, 0.55) + rng.uniform(0.03, 0.08) * _smooth_field(rng, shape, modes=14)
    _paint(brightness, _lungs(space, rng), rng.uniform(0.05, 0.15))
    _paint(brightness, _tube(space, (0.0, -1.05, -1.5), (0.0, -1.05, 1.5), 0.3), rng.uniform(0.3, 0.6))
    _paint(brightness, muscle, rng.uniform(0.35, 0.5))
    _paint(brightness, np.minimum(atrium, veins) - 0.05, rng.uniform(0.3, 0.5))
    for chamber in chambers:
        _paint(brightness, np.maximum(chamber, -apart), shift.chambers * rng.uniform(0.82, 1.12))
    blood = np.minimum(atrium, veins)
    _fade_in(brightness, blood, rng.uniform(0.9, 1.08), shift.fading)
    if shift.black_blood:
        brightness = np.clip(BLACK_BLOOD - brightness, 0, None)

    organ = np.minimum(atrium, _beginning(veins, atrium, rng))
    return _acquire(brightness, rng, shift, organ > FAR), (organ < 0).astype(np.uint8)


def write_phantom(
    output_dir: str | Path,
    scans: int = 12,
    size: int | Sequence[int] = 64,
    seed: int = 0,
    *,
    validation: int | None = None,
    test: int | None = None,
    domain: str = "target",
    progress: bool = False,
) -> Cohort:
    """Writes a cohort of phantoms, all with dense labels, in several orientations.

    A second call with the same arguments changes nothing. As many scans are made at a time as PyTorch has CPU threads,
    at most four; the files do not depend on their number.

    Args:
        output_dir: Folder of the cohort.
        scans: Number of scans, all splits together.
        size: Number of voxels along all axes, or along each, of a field of view of 80 mm along every axis.
        seed: Seed of the cohort.
        validation: Number of scans for validation; by default a sixth of all, at least one.
        test: Number of scans for testing; by default a sixth of all, at least one.
        domain: Name of one of ``DOMAINS``.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: If no scan is left for training, the domain is unknown, or the folder holds other files.
    """
    shape = _shape(size)
    share = max(1, round(scans / 6))
    validation = share if validation is None else validation
    test = share if test is None else test
    training = scans - validation - test
    if min(validation, test) < 0 or training < 1:
        raise ValueError(
            f"scans must leave one for training, got {scans} with {validation} for validation and {test} for test."
        )
    check_one_of("domain", domain, DOMAINS)
    settings = {"made by": "phantom", "scans": scans, "size": shape, "seed": seed, "validation": validation}
    settings |= {"test": test} | ({} if domain == "target" else {"domain": domain})
    folder = claim(output_dir, settings)
    names = [f"phantom_{number:03d}.nii.gz" for number in range(scans)]
    items = [{"image": f"images/{name}", "label": f"labels/{name}"} for name in names]

    def write(number: int) -> None:
        if not all((folder / path).is_file() for path in items[number].values()):
            _write_scan(folder, items[number], shape, seed, number, domain)

    with ThreadPoolExecutor(min(torch.get_num_threads(), MOST_THREADS)) as pool:
        written = pool.map(write, range(scans))
        list(tqdm(written, desc="phantom", unit="scan", total=scans, disable=not progress))
    splits = {
        "training": items[:training],
        "validation": items[training : training + validation],
        "test": items[training + validation :],
    }
    write_datalist(folder, name="phantom", labels=LABELS, splits=splits)
    return Cohort.open(folder)


def _write_scan(
    folder: Path, item: dict[str, str], shape: tuple[int, int, int], seed: int, number: int, domain: str
) -> None:
    image, label = phantom_volume(shape, [seed, number], domain)
    offset = np.random.default_rng([seed, number, 1]).uniform(-30, 30, 3).round(2)
    affine = np.diag([*(FIELD_OF_VIEW / np.array(shape)), 1.0])
    affine[:3, 3] = offset - FIELD_OF_VIEW / 2
    orientation = axcodes2ornt(ORIENTATIONS[number % len(ORIENTATIONS)])
    to_file = np.empty_like(orientation)
    to_file[orientation[:, 0].astype(int)] = np.stack([np.arange(3), orientation[:, 1]], axis=1)
    affine = affine @ inv_ornt_aff(to_file, shape)
    write_nifti(folder / item["image"], apply_orientation(image.round().astype(np.int16), to_file), affine)
    write_nifti(folder / item["label"], apply_orientation(label, to_file), affine)


def _shape(size: int | Sequence[int]) -> tuple[int, int, int]:
    sizes = tuple(size) if isinstance(size, Sequence) else (size,) * 3
    if len(sizes) != 3 or any(not isinstance(side, int) or side < 16 for side in sizes):
        raise ValueError(f"size must be one or three whole numbers of at least 16, got {size}.")
    return sizes


def _smooth_field(rng: np.random.Generator, shape: tuple[int, ...], modes: int) -> np.ndarray:
    """A random field of mean 0 and standard deviation 1, made of the lowest cosines along each axis."""
    field = rng.standard_normal((modes,) * 3)
    field[0, 0, 0] = 0
    for side in shape:
        waves = np.cos(np.pi * np.outer((np.arange(side) + 0.5) / side, np.arange(modes)))
        field = np.tensordot(field, waves, axes=(0, 1))
    return ((field - field.mean()) / field.std()).astype(np.float32)


def _anatomical_space(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Place of each voxel in the anatomy, ``[3, H, W, D]``: right, anterior, superior, each about -1 to 1."""
    axes = [((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32) for side in shape]
    space = np.stack(np.meshgrid(*axes, indexing="ij"))
    turn = Rotation.from_euler("xyz", rng.normal(0, 12, 3), degrees=True).as_matrix() / rng.uniform(0.95, 1.25)
    space = np.tensordot(turn.astype(np.float32), space, axes=1)
    space -= rng.normal(0, 0.1, 3).astype(np.float32)[:, None, None, None]
    strength = rng.uniform(0.03, 0.09)
    return space + strength * np.stack([_smooth_field(rng, shape, modes=4) for _ in range(3)])


def _ellipsoid(space: np.ndarray, centre: Vector, radii: Vector) -> np.ndarray:
    """Approximate distance to an ellipsoid's surface, negative inside."""
    radius = sum(((axis - c) / r) ** 2 for axis, c, r in zip(space, centre, radii, strict=True)) ** 0.5
    return (radius - 1) * min(radii)


def _tube(space: np.ndarray, start: Vector, end: Vector, radius: float) -> np.ndarray:
    """Distance to the surface of a round-ended tube, negative inside."""
    begin, way = np.array(start, np.float32), np.subtract(end, start).astype(np.float32)
    offset = space - begin[:, None, None, None]
    along = np.clip(np.tensordot(way / (way @ way), offset, axes=1), 0, 1)
    return sum((axis - step * along) ** 2 for axis, step in zip(offset, way, strict=True)) ** 0.5 - radius


def _around(rng: np.random.Generator, values: Vector, spread: float) -> np.ndarray:
    return np.asarray(values) + rng.normal(0, spread, len(values))


def _scaled(rng: np.random.Generator, values: Vector, spread: float) -> np.ndarray:
    return np.asarray(values) * rng.uniform(1 - spread, 1 + spread, len(values))


def _atrium(space: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the atrium with its appendage, and to its veins: two or three on the right, one or two left."""
    centre = _around(rng, (0.0, -0.15, 0.1), 0.04)
    body = _ellipsoid(space, centre, _scaled(rng, (0.5, 0.34, 0.4), 0.2))
    appendage = _ellipsoid(
        space, centre + _around(rng, (-0.42, 0.24, 0.1), 0.05), _scaled(rng, (0.2, 0.16, 0.14), 0.25)
    )
    veins = []
    for side, number in ((1, rng.integers(2, 4)), (-1, rng.integers(1, 3))):
        for height in np.linspace(0.22, -0.22, number) if number > 1 else (0.0,):
            start = centre + _around(rng, (side * 0.3, -0.1, height), 0.03)
            end = start + _around(rng, (side * 0.95, -0.3, height), 0.15)
            veins.append(_tube(space, start, end, rng.uniform(0.08, 0.13)))
    return np.minimum(body, appendage), np.minimum.reduce(veins)


def _beginning(veins: np.ndarray, atrium: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Distance to the part of the veins near the atrium, which is labelled as part of it."""
    return np.maximum(veins, atrium - rng.uniform(0.1, 0.14))


def _chambers(space: np.ndarray, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
    """Distances to each of the other structures filled with blood, and to the muscle around the ventricles."""
    left = _ellipsoid(space, _around(rng, (-0.5, 0.55, -0.38), 0.05), _scaled(rng, (0.36, 0.46, 0.36), 0.2))
    right = _ellipsoid(space, _around(rng, (0.25, 0.85, -0.35), 0.05), _scaled(rng, (0.4, 0.3, 0.36), 0.2))
    right_atrium = _ellipsoid(space, _around(rng, (0.62, 0.3, -0.08), 0.05), _scaled(rng, (0.34, 0.34, 0.42), 0.2))
    cava = _around(rng, (0.62, 0.1), 0.05)
    aorta = _around(rng, (0.1, 0.42), 0.05)
    descending = _around(rng, (-0.35, -0.78), 0.06)
    pulmonary = _around(rng, (-0.35, 0.5, 0.6), 0.06), _around(rng, (0.75, -0.15, 0.75), 0.06)
    chambers = [
        left,
        right,
        np.minimum(right_atrium, _tube(space, (*cava, 0.0), (*cava, 1.8), rng.uniform(0.11, 0.16))),
        _tube(space, (*aorta, 0.0), _around(rng, (*aorta, 1.6), 0.1), rng.uniform(0.15, 0.2)),
        _tube(space, (*descending, -1.8), (*descending, 1.8), rng.uniform(0.11, 0.17)),
        _tube(space, pulmonary[0], pulmonary[1], rng.uniform(0.11, 0.16)),
    ]
    for _ in range(rng.integers(2, 6)):
        start = rng.uniform(-1, 1, 3)
        chambers.append(_tube(space, start, start + rng.normal(0, 0.35, 3), rng.uniform(0.06, 0.12)))
    return chambers, np.minimum(left - rng.uniform(0.1, 0.18), right - 0.06)


def _lungs(space: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    width = rng.uniform(0.35, 0.5)
    return np.minimum(
        _ellipsoid(space, (1.2, -0.3, 0.2), (width, 0.9, 1.2)), _ellipsoid(space, (-1.2, -0.3, 0.2), (width, 0.9, 1.2))
    )


def _paint(brightness: np.ndarray, distance: np.ndarray, value: float) -> None:
    brightness[distance < 0] = value


def _fade_in(brightness: np.ndarray, distance: np.ndarray, value: float, width: float) -> None:
    """Sets the brightness inside a shape, with a border across which it fades."""
    if width == 0:
        _paint(brightness, distance, value)
    else:
        share = np.clip(0.5 - distance / width, 0, 1)
        brightness += share * (value - brightness)


def _acquire(brightness: np.ndarray, rng: np.random.Generator, shift: Domain, far: np.ndarray) -> np.ndarray:
    """Makes an image of the tissues as a scanner would: blur, contrast, bias field, Rician noise, gain."""
    shape = brightness.shape
    image = gaussian_filter(brightness.astype(np.float32), shift.blur * (max(shape) / 64 * rng.uniform(0.4, 0.8)))
    image = np.clip(image, 0, None) ** (shift.contrast * rng.uniform(0.7, 1.5))
    image *= np.exp(shift.bias * rng.uniform(0.05, 0.22) * _smooth_field(rng, shape, modes=3))
    noise = shift.noise * rng.uniform(0.04, 0.11) * rng.standard_normal((2, *shape), dtype=np.float32)
    noise[:, far] *= np.float32(shift.far_noise)
    return np.hypot(image + noise[0], noise[1]) * np.float32(rng.uniform(250, 600))
