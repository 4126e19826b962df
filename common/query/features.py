"""Feature vectors of scans: how a network's features become one, and how two are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SAME = 1e-9
"""Feature vectors whose cosine distance is below this, which is rounding, are the same."""


def pooled_features(features: Tensor, foreground: Tensor) -> Tensor:
    """Sums a scan up in one vector: its mean features over the predicted foreground, then over the whole scan.

    Args:
        features: A network's features ``[F, h, w, d]``, e.g. those of the encoder's bottleneck.
        foreground: A mask or probabilities ``[H, W, D]`` of the same field of view, on the same device. It is averaged
            or repeated to the grid of the features, where it weights them.

    Returns:
        float32 ``[2F]``. Without any foreground the first half equals the second.

    Raises:
        ValueError: If the shapes differ from these, or the foreground is negative somewhere.
    """
    if features.ndim != 4 or foreground.ndim != 3:
        raise ValueError(
            "features must be [F, h, w, d] and foreground [H, W, D], "
            f"got {tuple(features.shape)} and {tuple(foreground.shape)}."
        )
    weights = foreground.float()
    if (weights < 0).any():
        raise ValueError(f"foreground must not be negative, got {weights.min().item()}.")
    if weights.shape != features.shape[1:]:
        weights = F.interpolate(weights[None, None], size=features.shape[1:], mode="area")[0, 0]
    found = features.flatten(1).float()
    scan = found.mean(dim=1)
    total = weights.sum()
    inside = found @ (weights / total).flatten() if total > 0 else scan
    return torch.cat([inside, scan])


def cosine_similarity(first: Tensor, second: Tensor) -> float:
    """Cosine of the angle between two feature vectors, -1 to 1; 0 if one of them has length 0.

    Raises:
        ValueError: Unless both are finite vectors of one length.
    """
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"features must be vectors of one length, got {tuple(first.shape)} and {tuple(second.shape)}.")
    vectors = torch.stack([first.detach().cpu().double(), second.detach().cpu().double()])
    if not vectors.isfinite().all():
        raise ValueError("features must be finite, but some are not.")
    return float((F.normalize(vectors[0], dim=0) @ F.normalize(vectors[1], dim=0)).clamp(-1, 1))


def novelty(features: Tensor, known: Sequence[Tensor]) -> float:
    """One minus the largest cosine similarity of a scan's features to those already chosen or labelled.

    Args:
        features: The scan's feature vector ``[F]``.
        known: Feature vectors of the other scans, each ``[F]``.

    Returns:
        0 (known, up to rounding) to 2; 1 if nothing is known.

    Raises:
        ValueError: Unless all are finite vectors of one length.
    """
    distance = 1 - max((cosine_similarity(features, other) for other in known), default=0.0)
    return distance if distance > SAME else 0.0


def check_features(
    scans: Sequence[str], features: Mapping[str, Tensor], known: Sequence[Tensor]
) -> tuple[np.ndarray, np.ndarray]:
    """Stacks the feature vectors of scans and of known ones, float64 ``[scans, F]`` and ``[known, F]``.

    Raises:
        ValueError: If there are no features, a scan has none, or not all are finite vectors of one length.
    """
    if scans and not features:
        raise ValueError("features must be given to a strategy that needs them, got none.")
    lacking = [scan for scan in scans if scan not in features]
    if lacking:
        raise ValueError(f"features must hold every scan, but {', '.join(lacking)} are missing.")
    vectors = [vector.detach().cpu().double() for vector in (*(features[scan] for scan in scans), *known)]
    shapes = sorted({tuple(vector.shape) for vector in vectors})
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        raise ValueError(f"features must be vectors of one length, got the shapes {shapes}.")
    if not vectors:
        return np.zeros((0, 0)), np.zeros((0, 0))
    found = torch.stack(vectors).numpy()
    if not np.isfinite(found).all():
        raise ValueError("features must be finite, but some are not.")
    return found[: len(scans)], found[len(scans) :]
