"""Resamples images and label maps to another spacing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.cohort.volumes import spacing as spacing_of


def resample_image(
    image: np.ndarray, affine: np.ndarray, spacing: float | Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Resamples an image to another spacing, on a grid that starts at the same outer corner.

    Along an axis that gets coarser, a new voxel is the average over its extent (so nothing is aliased); along one that
    gets finer, values are interpolated linearly.

    Args:
        image: Image ``[H, W, D]``.
        affine: The image's 4x4 affine.
        spacing: Distance between voxels to resample to, in millimetres: one for all axes, or one for each.

    Returns:
        The new image, float32, and its affine.

    Raises:
        ValueError: If the spacing is not one or three positive numbers.
    """
    weights, new_affine = _weights(image.shape, affine, spacing)
    return _apply(image.astype(np.float32), weights), new_affine


def resample_label(
    label: np.ndarray, affine: np.ndarray, spacing: float | Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Resamples a label map to another spacing: each new voxel gets the class with the largest share of it.

    The shares are those of :py:func:`resample_image` for the one-hot label; ties go to the lowest class.

    Returns:
        The new label map, uint8, and its affine.

    Raises:
        ValueError: If the spacing is not one or three positive numbers.
    """
    weights, new_affine = _weights(label.shape, affine, spacing)
    winner = np.zeros(tuple(len(matrix) for matrix in weights), np.uint8)
    best = np.full(winner.shape, -1, np.float32)
    for value in np.unique(label):
        share = _apply((label == value).astype(np.float32), weights)
        better = share > best + 1e-5
        winner[better] = value
        best[better] = share[better]
    return winner, new_affine


def _weights(
    shape: tuple[int, ...], affine: np.ndarray, spacing: float | Sequence[float]
) -> tuple[list[np.ndarray], np.ndarray]:
    """A matrix of weights ``[new, old]`` for each axis, and the affine of the new grid."""
    wanted = np.broadcast_to(np.asarray(spacing, float), 3) if np.size(spacing) in (1, 3) else np.zeros(3)
    if not (np.isfinite(wanted).all() and (wanted > 0).all()):
        raise ValueError(f"spacing must be one or three positive numbers in millimetres, got {spacing}.")
    ratios = wanted / spacing_of(affine)
    ratios = np.where(np.isclose(ratios, 1, atol=1e-4), 1.0, ratios)
    change = np.diag([*ratios, 1.0])
    change[:3, 3] = (ratios - 1) / 2
    return [_axis_weights(size, ratio) for size, ratio in zip(shape, ratios, strict=True)], affine @ change


def _axis_weights(size: int, ratio: float) -> np.ndarray:
    """Weights ``[new, old]`` along an axis of old voxels for new ones that are `ratio` times as long."""
    new = np.arange(max(1, int(size / ratio + 0.5)))[:, None]
    old = np.arange(size)
    if ratio >= 1:
        weights = np.clip(np.minimum((new + 1) * ratio, old + 1) - np.maximum(new * ratio, old), 0, None)
    else:
        place = np.clip((new + 0.5) * ratio - 0.5, 0, size - 1)
        weights = np.clip(1 - abs(place - old), 0, None)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _apply(volume: np.ndarray, weights: Sequence[np.ndarray]) -> np.ndarray:
    for matrix in weights:
        volume = np.tensordot(volume, matrix, axes=(0, 1))
    return volume
