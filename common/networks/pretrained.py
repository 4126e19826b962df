"""Loads the weights of a pre-trained network, all of them or those that fit."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from common.files import read_checkpoint
from common.networks.model_files import network_sizes, without_wrapper

logger = logging.getLogger(__name__)

SHOWN = 5
"""Number of names of each kind that a summary lists."""


@dataclass(frozen=True)
class Fit:
    """How the weights of a file fit a network.

    Attributes:
        loaded: Names of the network's weights that the file has with the same shape.
        missing: Names of the network's weights that the file lacks.
        unexpected: Names of the file's weights that the network lacks.
        misshapen: Names that both have, with the network's shape and the file's.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]

    @property
    def complete(self) -> bool:
        """Whether the file holds all of the network's weights and nothing else."""
        return not (self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.missing) + len(self.misshapen)
        shapes = [f"{name} (network {list(a)}, file {list(b)})" for name, (a, b) in self.misshapen.items()]
        lines = [f"{len(self.loaded)} of the network's {total} weights fit"]
        for what, names in (
            ("missing in the file", self.missing),
            ("unknown to the network", self.unexpected),
            ("of another shape", shapes),
        ):
            if names:
                more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
                lines.append(f"{len(names)} {what}: {', '.join(names[:SHOWN])}{more}")
        return "\n  ".join(lines)


def load_pretrained(network: nn.Module, path: str | Path, *, partial: bool = False) -> Fit:
    """Loads the weights of a file into a network.

    The file holds a state dict, or one under ``state_dict`` or ``model``; all names may begin with ``module.``. With
    ``partial``, the weights of a part of the network are recognised: those of a self-supervised Swin UNETR encoder
    (``model_swinvit.pt``) go to the network's ``swinViT``.

    Args:
        network: The network to load the weights into.
        path: File of weights.
        partial: Whether to load only what fits, with a warning, instead of raising an error if not everything fits.

    Returns:
        Which weights fitted.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a state dict, or does not fit: with ``partial`` none of it, else not all of it.
    """
    path = Path(path)
    given = _read(path)
    own = network.state_dict()
    prefixes = ["", *(f"{name}." for name, _ in network.named_children())] if partial else [""]
    candidates = [
        {prefix + name: weights for name, weights in named.items()}
        for named in (given, {_as_in_monai(name): weights for name, weights in given.items()})
        for prefix in prefixes
    ]
    state = max(candidates, key=lambda named: sum(_fits(own, name, weights) for name, weights in named.items()))
    fit = Fit(
        loaded=tuple(name for name in own if name in state and state[name].shape == own[name].shape),
        missing=tuple(name for name in own if name not in state),
        unexpected=tuple(name for name in state if name not in own),
        misshapen={
            name: (tuple(own[name].shape), tuple(state[name].shape))
            for name in own
            if name in state and state[name].shape != own[name].shape
        },
    )
    if not fit.complete:
        if not partial or not fit.loaded:
            hint = _hint(given)
            raise ValueError(
                f"{path} does not fit {type(network).__name__}: {fit}{_channels(fit, own)}"
                f"{'' if hint == _hint(own) else hint}"
            )
        logger.warning("%s fits %s in part: %s", path, type(network).__name__, fit)
    network.load_state_dict({name: state[name] for name in fit.loaded}, strict=False)
    return fit


def _fits(own: Mapping[str, Tensor], name: str, weights: Tensor) -> bool:
    return name in own and own[name].shape == weights.shape


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected the weights of a pre-trained network, found no file.")
    content = read_checkpoint(path, expected="a file of weights", found="one that cannot be read")
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    items = content.items() if isinstance(content, Mapping) else ()
    weights = {str(name): it for name, it in items if isinstance(it, Tensor)}
    if not weights:
        raise ValueError(f"{path}: expected weights by name, found {type(content).__name__} without any tensor.")
    if bad := [name for name, it in weights.items() if it.is_floating_point() and not it.isfinite().all()]:
        raise ValueError(f"{path}: expected finite weights, found NaN or infinite ones in {len(bad)}, first {bad[0]}.")
    return without_wrapper(weights)


def _as_in_monai(name: str) -> str:
    """A weight's name in MONAI today, for the public Swin UNETR weights, which have older names."""
    return name.replace(".mlp.fc1.", ".mlp.linear1.").replace(".mlp.fc2.", ".mlp.linear2.")


def _channels(fit: Fit, network: Mapping[str, Tensor]) -> str:
    """Hint, in words, that the network takes images with another number of channels; empty if it does not."""
    first = next((name for name, weights in network.items() if weights.ndim == 5), None)
    own, found = fit.misshapen.get(first, ((), ())) if first else ((), ())
    if len(found) != 5 or own[:1] + own[2:] != found[:1] + found[2:]:
        return ""
    plural = "s" if found[1] != 1 else ""
    return f"\n  It was trained on images with {found[1]} channel{plural}, the network takes {own[1]}."


def _hint(given: Mapping[str, Tensor]) -> str:
    """Hint, in words, at the network that a file's weights seem to belong to; empty if that is unknown."""
    sizes = network_sizes(given)
    if not sizes:
        return ""
    kind = "common.networks.VNet" if "width" in sizes else "SwinUNETR"
    names = {"channels": "in_channels", "num_classes": "out_channels"}
    words = ", ".join(f"{names.get(name, name)} {size}" for name, size in sizes.items())
    return f"\n  It seems to be a {kind} with {words}: use such a network_def."
