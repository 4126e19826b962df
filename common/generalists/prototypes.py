"""Class prototypes (mean features of the voxels of a class), and how similar each voxel is to them."""

from __future__ import annotations

import torch
from torch import Tensor


def class_prototypes(features: Tensor, probabilities: Tensor) -> Tensor:
    """Averages the features of the voxels predicted as each class, weighted by its probability (GM-ABS, TMI 2025).

    Args:
        features: The specialist's last features, `[F, H, W, D]`.
        probabilities: Class probabilities, `[C, H, W, D]` in 0..1, on the same device; a voxel belongs to its most
            probable class.

    Returns:
        The prototypes, float32 `[C, F]`; zeros for a class without voxels.

    Raises:
        ValueError: If features and probabilities are not 4-dimensional on one grid.
    """
    _require_one_grid(features, probabilities)
    confidence, predicted = probabilities.flatten(1).float().max(dim=0)
    found = features.flatten(1).float()
    prototypes = found.new_zeros(len(probabilities), len(found))
    for index, prototype in enumerate(prototypes):
        weights = confidence * (predicted == index)
        prototype.copy_((found @ weights) / weights.sum().clamp(min=torch.finfo(torch.float32).tiny))
    return prototypes


def prototype_similarity(features: Tensor, probabilities: Tensor, *, contrast: bool = False) -> Tensor:
    """Computes the cosine similarity of every voxel to the prototypes of the foreground classes.

    GM-ABS's public code ranks voxels by a softmax of 20 times the cosines of all classes, background included. With
    `contrast`, the highest cosine of the other classes is subtracted instead: with two classes this gives the same
    ranking but does not saturate; with more, it is our choice.

    Args:
        features: The specialist's last features, `[F, H, W, D]`.
        probabilities: Class probabilities, `[C, H, W, D]` in 0..1, on the same device.
        contrast: Whether to subtract the highest cosine of the other classes.

    Returns:
        Similarities to the classes 1..K, float32 `[K, H, W, D]`, K = C - 1: in -1..1, or -2..2 with `contrast`. The
        cosine is 0 where features or a prototype have length 0.

    Raises:
        ValueError: If features and probabilities are not 4-dimensional on one grid.
    """
    directions = torch.nn.functional.normalize(class_prototypes(features, probabilities), dim=1)
    found = features.flatten(1).float()
    cosine = directions @ found
    cosine /= torch.linalg.vector_norm(found, dim=0).clamp(min=1e-12)
    cosine.clamp_(-1, 1)
    if contrast and len(cosine) > 1:
        first, second = cosine.topk(2, dim=0).values
        cosine = cosine - torch.where(cosine == first, second, first)
    return cosine[1:].reshape(-1, *features.shape[1:])


def _require_one_grid(features: Tensor, probabilities: Tensor) -> None:
    if features.ndim != 4 or probabilities.ndim != 4 or features.shape[1:] != probabilities.shape[1:]:
        raise ValueError(
            "features must be [F, H, W, D] and probabilities [C, H, W, D] on one grid, "
            f"got shapes {tuple(features.shape)} and {tuple(probabilities.shape)}"
        )
