"""Ways to fuse the predictions of several views of a volume into one label map."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from common import IGNORE_INDEX
from common.checks import check_one_of

Fusion = Callable[..., Tensor]


def majority_vote(views: Tensor, abstain: bool = False) -> Tensor:
    """Gives each voxel the class that most views choose; ties go to the class with the highest mean probability.

    Args:
        views: Class probabilities of V views, `[V, C, H, W, D]`, background first.
        abstain: Whether voxels on which the views differ become 255.

    Returns:
        Label map, uint8 `[H, W, D]`.

    Raises:
        ValueError: If `views` has another shape.

    Example:
        >>> views = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]]).view(3, 2, 1, 1, 1)
        >>> majority_vote(views).item(), majority_vote(views, abstain=True).item()
        (1, 255)
    """
    choices = _choices(views)
    number, classes = views.shape[:2]
    if classes == 2 and number % 2:
        fused = (2 * choices.sum(dim=0) > number).to(torch.uint8)
    else:
        votes = torch.stack([(choices == value).sum(dim=0) for value in range(classes)]).to(views.dtype)
        fused = (votes + 0.5 * views.mean(dim=0)).argmax(dim=0).to(torch.uint8)
    return _abstain(fused, choices) if abstain else fused


def unanimous(views: Tensor, abstain: bool = False) -> Tensor:
    """Gives a voxel the class that all views choose, or background (with `abstain`, 255) where they differ.

    Arguments, result and errors are those of `majority_vote`.
    """
    choices = _choices(views)
    agreed = (choices == choices[0]).all(dim=0)
    return torch.where(agreed, choices[0], IGNORE_INDEX if abstain else 0).to(torch.uint8)


def mean(views: Tensor, abstain: bool = False) -> Tensor:
    """Gives each voxel the class with the highest mean probability.

    Arguments, result and errors are those of `majority_vote`.
    """
    choices = _choices(views)
    fused = views.mean(dim=0)
    label = (fused[1] > fused[0]).to(torch.uint8) if len(fused) == 2 else fused.argmax(dim=0).to(torch.uint8)
    return _abstain(label, choices) if abstain else label


FUSIONS: dict[str, Fusion] = {"majority": majority_vote, "unanimous": unanimous, "mean": mean}
"""The ways to fuse, by name."""


def fusion(name: str) -> Fusion:
    """Looks up a way to fuse by its name.

    Raises:
        ValueError: If there is none of this name.
    """
    check_one_of("fusion", name, FUSIONS)
    return FUSIONS[name]


def _choices(views: Tensor) -> Tensor:
    if views.ndim != 5 or views.shape[1] < 2:
        raise ValueError(f"views must be probabilities [V, C, H, W, D] with C >= 2, got shape {tuple(views.shape)}")
    if views.shape[1] == 2:
        return (views[:, 1] > views[:, 0]).to(torch.uint8)
    return views.argmax(dim=1).to(torch.uint8)


def _abstain(fused: Tensor, choices: Tensor) -> Tensor:
    return torch.where((choices == choices[0]).all(dim=0), fused, IGNORE_INDEX).to(torch.uint8)
