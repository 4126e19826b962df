"""Diversified knowledge divergence (DKD): how far a model must move to explain a scan, and how new the scan is.

After "Active test-time sample query" of ASSFT (Yang, Marcus and Sotiras, arXiv 2509.10784). Its abstract says what DKD
measures, the gap between source and target and the diversity within the target; the formulas here are ours.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from common.query.prediction import check_probabilities

NORMALISATIONS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.GroupNorm,
    nn.LayerNorm,
)
"""The layers that :func:`adapt_normalisation` adapts."""


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence of two predictions, voxel by voxel: ``[H(½p + ½q) - ½H(p) - ½H(q)] / ln 2``.

    Args:
        p: Probabilities ``[C, ...]``, summing to 1 over C.
        q: Probabilities of the same shape, on the same device.

    Returns:
        The divergence ``[...]``, 0 (alike) to 1 (each certain of another class).

    Raises:
        ValueError: If the shapes differ.
    """
    if p.shape != q.shape:
        raise ValueError(f"p and q must have the same shape, got {tuple(p.shape)} and {tuple(q.shape)}.")
    mixed = torch.special.entr((p + q) / 2).sum(dim=0)
    own = (torch.special.entr(p) + torch.special.entr(q)).sum(dim=0) / 2
    return ((mixed - own) / math.log(2)).clamp(0, 1)


def adapt_normalisation(
    network: nn.Module, windows: Tensor, *, steps: int = 3, learning_rate: float = 1e-3
) -> nn.Module:
    """Copies the network and adapts the copy's normalisation layers to a scan at test time, without labels.

    As in Tent (Wang et al., ICLR 2021), a few Adam steps on scale and shift of the normalisation layers lower the mean
    entropy of the prediction, while layers with running statistics normalise with the scan's own. Unlike there, every
    scan starts from the given network. At the end, running statistics are those of the windows under the adapted
    parameters, so that the copy can be used on other windows of the scan.

    Args:
        network: The network, which gives logits ``[N, C, h, w, d]``, C >= 2; it is left as it is.
        windows: Windows of the scan, ``[N, channels, h, w, d]``, on the network's device; they go through the network
            in one batch.
        steps: Steps of entropy minimisation, 0 or more; with 0 only the statistics are adapted.
        learning_rate: Adam's learning rate, above 0.

    Returns:
        The copy, in evaluation mode and without gradients. All its other parameters equal the network's.

    Raises:
        ValueError: If an argument is out of its range, the network does not give such logits, or it has no
            normalisation layer with running statistics or affine parameters.
    """
    if windows.ndim != 5 or len(windows) < 1:
        raise ValueError(f"windows must be [N, channels, h, w, d] with N >= 1, got {tuple(windows.shape)}.")
    if steps < 0:
        raise ValueError(f"steps must be 0 or more, got {steps}.")
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be above 0, got {learning_rate}.")
    adapted = copy.deepcopy(network).eval().requires_grad_(False)
    keepers, parameters = _to_adapt(adapted)
    if not keepers and not parameters:
        number = len(_normalisations(network))
        raise ValueError(
            "network must have normalisation layers with running statistics or affine parameters to adapt, "
            f"found {number} normalisation layers and neither in {type(network).__name__}."
        )
    for parameter in parameters:
        parameter.requires_grad_()
    momenta = [layer.momentum for layer in keepers]
    for layer in keepers:
        layer.train()
        layer.momentum = 1.0
    if parameters:
        optimizer = torch.optim.Adam(parameters, lr=learning_rate)
        with torch.enable_grad():
            for _ in range(steps):
                optimizer.zero_grad()
                _mean_entropy(adapted(windows)).backward()
                optimizer.step()
        optimizer.zero_grad()
    if keepers:
        with torch.no_grad():
            adapted(windows)
    for layer, momentum in zip(keepers, momenta, strict=True):
        layer.momentum = momentum
    return adapted.eval().requires_grad_(False)


def adaptable(network: nn.Module) -> bool:
    """Whether any normalisation layer of the network has running statistics or affine parameters.

    MONAI's instance normalisation has neither by default.
    """
    return any(_to_adapt(network))


def _to_adapt(network: nn.Module) -> tuple[list[Any], list[nn.Parameter]]:
    """The normalisation layers with running statistics, and the parameters of all normalisation layers."""
    layers = _normalisations(network)
    keepers = [layer for layer in layers if getattr(layer, "running_mean", None) is not None]
    return keepers, [parameter for layer in layers for parameter in layer.parameters()]


def _normalisations(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, NORMALISATIONS)]


def _mean_entropy(logits: Tensor) -> Tensor:
    if not isinstance(logits, Tensor) or logits.ndim != 5 or logits.shape[1] < 2:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"network must give logits [N, C, h, w, d] with at least 2 classes, got {found}.")
    logarithms = logits.float().log_softmax(dim=1)
    return -(logarithms.exp() * logarithms).sum(dim=1).mean()


def knowledge_divergence(
    before: Tensor, after: Tensor, feature_distance: float = 0.0, *, feature_weight: float = 0.5
) -> float:
    """Measures how far the model moved when it was adapted to a scan.

    The mean Jensen-Shannon divergence of the two predictions over the union of their foregrounds, plus
    ``feature_weight`` x ``feature_distance``. The formula is ours.

    Args:
        before: The pre-trained model's probabilities ``[C, H, W, D]``; class 0 is the background.
        after: The adapted model's probabilities.
        feature_distance: Cosine distance of the two pooled feature vectors, 0 to 2.
        feature_weight: Weight of that distance, 0 or more.

    Returns:
        The divergence, 0 or more; the feature part alone if neither prediction has any foreground.

    Raises:
        ValueError: If the shapes do not fit, or a number is negative or not finite.
    """
    for name, given in (("feature_distance", feature_distance), ("feature_weight", feature_weight)):
        if not (math.isfinite(given) and given >= 0):
            raise ValueError(f"{name} must be finite and not negative, got {given}.")
    if check_probabilities(before).shape != check_probabilities(after).shape:
        raise ValueError(f"before and after must have the same shape, got {tuple(before.shape)}, {tuple(after.shape)}.")
    foreground = (before.argmax(dim=0) != 0) | (after.argmax(dim=0) != 0)
    # In double precision, since a few small steps of adaptation move some networks by a millionth.
    moved = jensen_shannon(before[:, foreground].double(), after[:, foreground].double())
    return (moved.mean().item() if len(moved) else 0.0) + feature_weight * feature_distance
