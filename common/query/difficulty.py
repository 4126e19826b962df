"""Anatomical segmentation difficulty (ASD): how uncertain a model is where the anatomy is.

After ASSFT (Yang, Marcus and Sotiras, arXiv 2509.10784), whose abstract says that it measures the predictive entropy
of adaptively found foreground regions; the formulas here are ours.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from skimage.filters import threshold_otsu
from torch import Tensor

from common.query.prediction import check_probabilities


def region_of_interest(probability: Tensor, *, dilation: int = 2, floor: float = 0.05) -> Tensor:
    """Finds where a class is, by a threshold of the scan's own.

    Otsu's method splits the scan's probabilities above the floor in two; the region is what exceeds the middle between
    the means of the two parts, dilated by a cube of ``2·dilation + 1`` voxels. If all of them are equal, it is those
    voxels. Without the floor the split could tell a faintly uncertain background from a certain one; without the middle
    it would lie at the lower end of an empty gap, where single voxels of the background pass. Both are our choices.

    Args:
        probability: Probability of one class, ``[H, W, D]``, 0 to 1.
        dilation: Voxels by which the region is dilated, 0 or more.
        floor: Probability, 0 to 1, below which voxels are ignored, as are classes that exceed it nowhere.

    Returns:
        The region, bool ``[H, W, D]``: never empty if any probability exceeds the floor, empty otherwise.

    Raises:
        ValueError: If the probability is not ``[H, W, D]``, or an argument is out of its range.
    """
    if probability.ndim != 3:
        raise ValueError(f"probability must be [H, W, D], got {tuple(probability.shape)}.")
    if dilation < 0:
        raise ValueError(f"dilation must be 0 or more voxels, got {dilation}.")
    if not 0 <= floor <= 1:
        raise ValueError(f"floor must lie in 0..1, got {floor}.")
    given = probability.float()
    highest = given.max()
    if not highest > floor:
        return torch.zeros_like(given, dtype=torch.bool)
    looked_at = given[given > floor].double()
    split = float(threshold_otsu(looked_at.cpu().numpy()))
    upper, lower = looked_at[looked_at > split], looked_at[looked_at <= split]
    region = given == highest
    if len(upper):
        region |= given > (upper.mean() + lower.mean()) / 2
    if dilation:
        grown = F.max_pool3d(region[None, None].float(), kernel_size=2 * dilation + 1, stride=1, padding=dilation)
        region = grown[0, 0] > 0
    return region


def anatomical_difficulty(probabilities: Tensor, *, dilation: int = 2, floor: float = 0.05) -> float:
    """The mean entropy of each class within its region of interest, averaged over the classes.

    A class's entropy is that of being it or not, ``-[p·log p + (1 - p)·log(1 - p)] / log 2``. Classes that are not
    there do not count, nor does what lies outside the regions, however uncertain.

    Args:
        probabilities: Probabilities ``[C, H, W, D]``, summing to 1 over C; class 0 is the background.
        dilation: Voxels by which the regions are dilated.
        floor: Probability below which a class is ignored; see :func:`region_of_interest`.

    Returns:
        The difficulty, 0 (certain, or no class exceeds the floor anywhere) to 1.

    Raises:
        ValueError: If the probabilities are not ``[C, H, W, D]`` with C >= 2, or an argument is out of its range.
    """
    difficulties = []
    for probability in check_probabilities(probabilities)[1:]:
        region = region_of_interest(probability, dilation=dilation, floor=floor)
        if region.any():
            inside = probability[region].double()
            entropy = torch.special.entr(inside) + torch.special.entr(1 - inside)
            difficulties.append(entropy.mean().item() / math.log(2))
    return sum(difficulties) / len(difficulties) if difficulties else 0.0
