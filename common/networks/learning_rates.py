"""How fast each part of a pre-trained network learns."""

from __future__ import annotations

from typing import Any

from torch import nn


def parameter_groups(
    network: nn.Module, learning_rate: float, *, encoder: str | None = None, decay: float = 1.0, freeze: bool = False
) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser, with a learning rate that decays from stage to stage towards the input.

    The encoder's stages are its direct children that have parameters, in their order. The last one learns with
    ``decay`` times the learning rate, the one before with ``decay²``, and so on; the rest of the network with the
    learning rate itself.

    Args:
        network: that learns.
        learning_rate: of everything but the encoder, above 0.
        encoder: name of the pre-trained encoder as in ``network.named_modules()``, e.g. ``swinViT``; None if all learn
            alike.
        decay: above 0, at most 1.
        freeze: the encoder's parameters stay as they are; running statistics of its layers, if it has any, do not.

    Returns:
        Groups with ``params`` and ``lr``, the rest first, then the stages from the last to the first; each parameter
        once.

    Raises:
        ValueError: if a number is out of its range, or the network has no such encoder.
    """
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be above 0, got {learning_rate}.")
    if not 0 < decay <= 1:
        raise ValueError(f"decay must lie in (0, 1], got {decay}.")
    if encoder is None:
        if freeze:
            raise ValueError("encoder must name what is to be frozen, got None.")
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
