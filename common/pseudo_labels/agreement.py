"""How far a network's predictions of one scan under several augmentations agree: the confidence of a pseudo-label."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class ViewAgreement:
    """How far several views agree on a label, as its confidence.

    Attributes:
        scan: Confidence of the whole label, 0..1; 0 if it has no foreground.
        voxels: Confidence of each voxel, `[H, W, D]` in 0..1.
    """

    scan: float
    voxels: Tensor


def view_agreement(views: Tensor, *, dilation: int = 3) -> ViewAgreement:
    """Measures how far predictions of one scan under several augmentations agree, times how certain they are.

    The measure is ours. That of SFR+ (IEEE TMI 2025, eq. 8) is the 3D network's highest class probability, averaged
    over all voxels of a scan, most of which are background. Here only voxels in and around the foreground count, and
    the views are predictions of the network that made the label. With `q` the mean of the views' probabilities `p_i`, a
    voxel's agreement is `1 - mean_i ½ Σ_c |p_i,c - q_c|` and its certainty `max_c q_c`. The scan's confidence is the
    mean agreement in the foreground of `q`, dilated, times the mean certainty there; a voxel's is the product of its
    own two. With a single view the agreement is 1.

    Args:
        views: Probabilities `[V, C, H, W, D]`, background first, all turned back to the scan's own orientation.
        dilation: Voxels by which the foreground is dilated (in a cube) before the means are taken.

    Raises:
        ValueError: If the views have another shape or fewer than two classes, or the dilation is negative.
    """
    if views.ndim != 5 or views.shape[1] < 2:
        raise ValueError(f"views must be probabilities [V, C, H, W, D] with C >= 2, got shape {tuple(views.shape)}")
    if dilation < 0:
        raise ValueError(f"dilation must not be negative, got {dilation}")
    mean = views.mean(dim=0)
    apart = torch.stack([(view - mean).abs().sum(dim=0) / 2 for view in views]).mean(dim=0)
    agreement, certainty = 1 - apart, mean.amax(dim=0)
    foreground = (mean.argmax(dim=0) > 0)[None, None].float()
    region = F.max_pool3d(foreground, 2 * dilation + 1, stride=1, padding=dilation)[0, 0] > 0
    scan = float(agreement[region].mean() * certainty[region].mean()) if region.any() else 0.0
    return ViewAgreement(scan, agreement * certainty)
