"""Selective semi-supervised fine-tuning: the unlabelled scans whose pseudo-label can be trusted.

After ASSFT (Yang, Marcus and Sotiras, arXiv 2509.10784). Its abstract names both criteria, a high confidence of the
prediction and a short semantic distance to the labelled scans. How each is measured and how they are joined is ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from common.query.difficulty import region_of_interest
from common.query.features import novelty
from common.query.prediction import check_probabilities


def region_confidence(probabilities: Tensor, *, dilation: int = 2, floor: float = 0.05) -> float:
    """The mean probability of the likeliest class within the regions of interest of all classes; the formula is ours.

    Args:
        probabilities: Probabilities ``[C, H, W, D]``, summing to 1 over C; class 0 is the background.
        dilation: Voxels by which the regions are dilated.
        floor: Probability below which a class is ignored; see :func:`common.query.region_of_interest`.

    Returns:
        The mean, 1/C to 1, or 0 if no class exceeds the floor anywhere: there is nothing to trust.

    Raises:
        ValueError: If the probabilities are not ``[C, H, W, D]`` with C >= 2, or an argument is out of its range.
    """
    given = check_probabilities(probabilities)
    regions = [region_of_interest(probability, dilation=dilation, floor=floor) for probability in given[1:]]
    region = torch.stack(regions).any(dim=0)
    return given.amax(dim=0)[region].mean(dtype=torch.float64).item() if region.any() else 0.0


def nearest_distance(features: Mapping[str, Tensor], labelled: Sequence[Tensor]) -> dict[str, float]:
    """Cosine distance of each scan's features to those of the nearest labelled scan; the formula is ours.

    Args:
        features: Feature vector ``[F]`` of each scan; see :func:`common.query.pooled_features`.
        labelled: Feature vectors ``[F]`` of the labelled scans, at least one.

    Returns:
        The distance of each scan, 0 to 2.

    Raises:
        ValueError: If no scan is labelled, or not all are finite vectors of one length.
    """
    if not labelled:
        raise ValueError("labelled must hold the features of at least one scan, got none.")
    return {scan: novelty(found, labelled) for scan, found in features.items()}


def select_reliable(
    confidence: Mapping[str, float],
    distance: Mapping[str, float],
    *,
    confidence_quantile: float = 0.5,
    distance_quantile: float = 0.5,
) -> list[str]:
    """Selects the scans with a confidence in the upper part and a distance to the labelled scans in the lower part.

    Scans of confidence 0, of which nothing is predicted, are never selected, whatever the others' confidences are. The
    quantiles are our way to join ASSFT's two criteria.

    Args:
        confidence: Confidence of each scan; see :func:`region_confidence`.
        distance: Distance of each of these scans; see :func:`nearest_distance`.
        confidence_quantile: Quantile τ_c, 0 to 1: a confidence must reach this quantile of all; 0 lets in every scan
            whose confidence is above 0.
        distance_quantile: Quantile τ_d, 0 to 1: a distance must not exceed this quantile of all; 1 lets every scan in.

    Returns:
        Ids of the selected scans in alphabetical order, possibly none.

    Raises:
        ValueError: If the scans differ, a number is not finite or a quantile is out of its range.
    """
    for name, quantile in (("confidence_quantile", confidence_quantile), ("distance_quantile", distance_quantile)):
        if not 0 <= quantile <= 1:
            raise ValueError(f"{name} must lie in 0..1, got {quantile}.")
    if confidence.keys() != distance.keys():
        raise ValueError(
            f"confidence and distance must be of the same scans, got {sorted(confidence)} and {sorted(distance)}."
        )
    for name, numbers in (("confidence", confidence), ("distance", distance)):
        bad = sorted(scan for scan, given in numbers.items() if not math.isfinite(given))
        if bad:
            raise ValueError(f"{name} must be finite, but that of {', '.join(bad)} is not.")
    if not confidence:
        return []
    least = np.quantile(list(confidence.values()), confidence_quantile)
    farthest = np.quantile(list(distance.values()), distance_quantile)
    return sorted(
        scan for scan, found in confidence.items() if found > 0 and found >= least and distance[scan] <= farthest
    )
