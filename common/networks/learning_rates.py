"""Learning rates for each part of a pre-trained network."""

from __future__ import annotations

from typing import Any

from torch import nn


def parameter_groups(
    network: nn.Module, learning_rate: float, *, encoder: str | None = None, decay: float = 1.0, freeze: bool = False
) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser, with a learning rate that decays from stage to stage towards the input.

    The stages of the encoder are its direct children that have parameters, in their order. The last stage learns with
    ``decay`` times the learning rate, the one before with ``decay²`` times, and so on; the rest of the network learns
    with the learning rate itself.

    Args:
        network: The network to train.
        learning_rate: Learning rate of everything but the encoder, above 0.
        encoder: Name of the pre-trained encoder as in ``network.named_modules()``, e.g. ``swinViT``; None if all parts
            learn with the same rate.
        decay: Ratio of the learning rates of neighbouring stages, above 0, at most 1.
        freeze: Whether the encoder's parameters stay unchanged; running statistics of its layers still change.

    Returns:
        Groups with ``params`` and ``lr``: first the rest of the network, then the stages from the last to the first.
        Each parameter is in one group.

    Raises:
        ValueError: If a number is out of its range, or the network has no such encoder.
    """
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be above 0, got {learning_rate}.")
    if not 0 < decay <= 1:
        raise ValueError(f"decay must lie in (0, 1], got {decay}.")
    if encoder is None:
        if freeze:
            raise ValueError("encoder must name the part to freeze, got None.")
        return [{"params": list(network.parameters()), "lr": learning_rate}]
    modules = dict(network.named_modules())
    if not encoder or encoder not in modules:
        names = ", ".join(name for name, _ in network.named_children())
        raise ValueError(f"encoder must be a part of {type(network).__name__} ({names}) or None, got {encoder!r}.")
    part = modules[encoder]
    inside = {id(parameter) for parameter in part.parameters()}
    groups = [{"params": [it for it in network.parameters() if id(it) not in inside], "lr": learning_rate}]
    if freeze:
        part.requires_grad_(False)
        return groups
    own = list(part.parameters(recurse=False))
    stages = [own, *([*child.parameters()] for child in part.children())]
    for depth, stage in enumerate(reversed([stage for stage in stages if stage]), start=1):
        groups.append({"params": stage, "lr": learning_rate * decay**depth})
    return groups
