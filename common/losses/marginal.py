"""What losses make of scans of which some classes only were annotated."""

from __future__ import annotations

import torch


def merge_unannotated(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Logits in which a scan's background stands for itself and for all classes that were not annotated there.

    In such a scan, a voxel labelled as background may belong to any class that nobody looked for. Its label tells no
    more than that it is either background or one of these: the marginal loss of Shi et al., Medical Image Analysis 70,
    2021. The softmax of the result has the sum of their probabilities for the background, 0 for the classes that were
    not annotated, and the same probabilities as before for the others. Where all classes were annotated, the logits
    stay the same bit for bit.

    Args:
        logits: Class scores ``[B, C, …]``, floating point.
        classes: Whether each class was annotated: in each scan, ``[B, C]``, or in each voxel, ``[B, C, …]``. What it
            says of class 0 does not matter.

    Returns:
        Logits of the same shape and type, ``-inf`` for classes that were not annotated.

    Raises:
        ValueError: If the shapes do not fit each other.

    Example:
        >>> logits = torch.tensor([[0.5, 0.3, 0.2]]).log()[..., None]
        >>> merge_unannotated(logits, torch.tensor([[1, 0, 1]])).softmax(dim=1).squeeze()
        tensor([0.8000, 0.0000, 0.2000])
    """
    known = on_voxels(classes, logits)[:, 1:]
    background, others = logits[:, :1], logits[:, 1:]
    merged = torch.cat([background, others.masked_fill(known, -torch.inf)], dim=1).logsumexp(dim=1, keepdim=True)
    return torch.cat([merged, others.masked_fill(~known, -torch.inf)], dim=1)


def annotated_classes(logits: torch.Tensor, classes: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """The classes that a batch tells something of, bool ``[C]``; all of them if nothing is annotated.

    A mean over classes must leave out the others: of those it would take an empty sum for a perfect prediction.

    Args:
        logits: Class scores ``[B, C, …]``.
        classes: Whether each class was annotated, ``[B, C]`` or ``[B, C, …]``; class 0 always counts.
        known: Whether each voxel is annotated, bool ``[B, 1, …]``.
    """
    told = (on_voxels(classes, logits) & known).any(dim=(0, *range(2, logits.ndim)))
    told[0] = True
    return told | ~known.any()


def on_voxels(classes: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Class sets as bool ``[B, C, …]``, with axes of size 1 if they hold for whole scans.

    Raises:
        ValueError: If they do not fit the logits ``[B, C, …]``.
    """
    if classes.shape == logits.shape[:2]:
        return classes.reshape(*classes.shape, *(1,) * (logits.ndim - 2)).bool()
    if classes.shape == logits.shape:
        return classes.bool()
    raise ValueError(
        f"classes must be of shape {tuple(logits.shape[:2])} or {tuple(logits.shape)} to fit the logits, "
        f"got {tuple(classes.shape)}."
    )
