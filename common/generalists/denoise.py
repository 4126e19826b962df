"""Confident learning: which voxels of a label map a model takes for label errors."""

from __future__ import annotations

import torch
from torch import Tensor

from common import IGNORE_INDEX
from common.checks import check_one_of

METHODS = ("confident_joint", "prune_by_class", "prune_by_noise_rate", "both")


def confident_learning_filter(label: Tensor, probabilities: Tensor, method: str = "confident_joint") -> Tensor:
    """Removes labels that a model takes for label errors from a label map (Northcutt et al., JAIR 2021).

    The threshold `t_j` of class j is the mean of its probability `p_j` over the voxels labelled j. A voxel's suggested
    class is the most probable of the classes with `p_j >= t_j`, if there are any; the confident joint `C_ij` counts the
    voxels labelled i whose suggested class is j. With `n_i` voxels labelled i, `N_ij = n_i C_ij / sum_j C_ij`, rounded
    down, estimates how many of them belong to class j.

    - `confident_joint`: drops the voxels whose suggested class is not their label.
    - `prune_by_class`: for each class i, drops the `sum_{j != i} N_ij` voxels with the lowest `p_i`.
    - `prune_by_noise_rate`: for each pair i != j, drops the `N_ij` voxels labelled i with the highest `p_j - p_i`.
    - `both`: drops the voxels that the two pruning methods agree on. GM-ABS's public code uses this one (on patches in
      training, where it changes the labels instead of dropping them).

    Voxels that are 255 are ignored. A class without voxels in the label map has no threshold and is never suggested. As
    in cleanlab, pruning spares voxels whose label is the model's most probable class; the rounding is our choice.

    Args:
        label: Label map, uint8 `[H, W, D]`, of classes 0..C-1, or 255 where there is no label.
        probabilities: The model's class probabilities, `[C, H, W, D]` in 0..1, on the same device.
        method: Name of one of the methods above.

    Returns:
        The label map, uint8 `[H, W, D]`, with 255 at the dropped voxels.

    Raises:
        ValueError: If the method is unknown, the shapes do not match, or a label is out of range.
    """
    check_one_of("method", method, METHODS)
    if probabilities.ndim != label.ndim + 1 or probabilities.shape[1:] != label.shape:
        raise ValueError(
            "label must be [H, W, D] and probabilities [C, H, W, D] on one grid, "
            f"got shapes {tuple(label.shape)} and {tuple(probabilities.shape)}"
        )
    if ((label >= len(probabilities)) & (label != IGNORE_INDEX)).any():
        raise ValueError(
            f"label must hold classes 0..{len(probabilities) - 1} or {IGNORE_INDEX}, "
            f"found {int(label[label != IGNORE_INDEX].max())}"
        )
    suggested = _suggested_classes(label, probabilities)
    if method == "confident_joint":
        dropped = (suggested != label) & (suggested != IGNORE_INDEX) & (label != IGNORE_INDEX)
    else:
        dropped = _pruned(label, probabilities, suggested, method) & (probabilities.argmax(dim=0) != label)
    return label.to(torch.uint8).masked_fill(dropped, IGNORE_INDEX)


def _suggested_classes(label: Tensor, probabilities: Tensor) -> Tensor:
    """For each voxel, the most probable class at or above its threshold, or 255: uint8 `[H, W, D]`."""
    suggested = torch.full_like(label, IGNORE_INDEX, dtype=torch.uint8)
    highest = torch.full_like(probabilities[0], -1)
    for index, probability in enumerate(probabilities):
        own = probability[label == index]
        if len(own):
            better = (probability >= own.mean(dtype=torch.float64).to(own)) & (probability > highest)
            suggested.masked_fill_(better, index)
            torch.where(better, probability, highest, out=highest)
    return suggested


def _pruned(label: Tensor, probabilities: Tensor, suggested: Tensor, method: str) -> Tensor:
    classes = range(len(probabilities))
    dropped = torch.zeros_like(label, dtype=torch.bool)
    for given in classes:
        own = label == given
        guesses = suggested[own]
        counts = [int((guesses == index).sum()) for index in classes]
        total = sum(counts)
        errors = [0 if index == given else len(guesses) * count // max(total, 1) for index, count in enumerate(counts)]
        if not any(errors):
            continue
        confidence = probabilities[given][own]
        by_class = _lowest(confidence, sum(errors))
        by_rate = torch.zeros_like(by_class)
        for index, number in enumerate(errors):
            if number:
                by_rate |= _lowest(confidence - probabilities[index][own], number)
        dropped[own] = {"prune_by_class": by_class, "prune_by_noise_rate": by_rate, "both": by_class & by_rate}[method]
    return dropped


def _lowest(values: Tensor, number: int) -> Tensor:
    """Marks the `number` lowest of the values `[N]`; among equal values, the first ones."""
    marked = torch.zeros_like(values, dtype=torch.bool)
    marked[values.argsort(stable=True)[:number]] = True
    return marked
