"""A trained model as two files: its weights, and beside them what has to be known to use it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from common.files import read_json

MODEL = "model.pt"
WRAPPER = "module."
TOLERANCE = 0.05
"""Share by which the spacing of scans may differ from that on which a model was trained."""

logger = logging.getLogger(__name__)


def settings_file(model: str | Path) -> Path:
    """The file of a model's settings, which lies beside its weights."""
    return Path(model).with_suffix(".json")


def model_file(output_dir: str | Path, bundle_root: str | Path) -> Path:
    """The model of a run if it has one, or else the one that comes with the bundle.

    Args:
        output_dir: Folder of the run.
        bundle_root: Folder of the bundle.

    Returns:
        The file of the weights. If neither exists, it is the run's, for the message of who wants to read it.
    """
    own, shipped = Path(output_dir) / MODEL, Path(bundle_root) / "models" / MODEL
    found = shipped if shipped.is_file() and not own.is_file() else own
    if found.is_file():
        logger.info("The model is %s.", found)
    return found


def model_settings(model: str | Path, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be known to use a model: for instance the spacing of its training scans and the network's width.

    Args:
        model: File of the weights, beside which the settings lie; neither needs to exist.
        defaults: The settings that are wanted, with the values that hold for a model that says nothing of them.

    Raises:
        ValueError: If the file of the settings is not a JSON object.
    """
    file = settings_file(model)
    found = read_json(file) if file.is_file() else {}
    if not isinstance(found, dict):
        raise ValueError(f"{file}: expected the settings of a model as a JSON object, found {type(found).__name__}.")
    return dict(defaults) | {name: value for name, value in found.items() if name in defaults}


def check_spacing(model: str | Path, spacing: Sequence[float]) -> None:
    """Refuses scans of another spacing than the model's training scans had; a model that tells none takes any.

    Args:
        model: File of the weights.
        spacing: Spacing of the scans along the axes of RAS, in millimetres.

    Raises:
        ValueError: Naming the model, its spacing and that of the scans.
    """
    trained = model_settings(model, {"spacing": None})["spacing"]
    if trained and not np.allclose(trained, spacing, rtol=TOLERANCE):
        raise ValueError(
            f"{model}: expected scans with voxels of {_millimetres(trained)}, on which this model was trained, found "
            f"{_millimetres(spacing)}; prepare them with --spacing, or let inference.json resample them."
        )


def network_sizes(network: nn.Module | Mapping[str, Tensor]) -> dict[str, int]:
    """The sizes of a V-Net or Swin UNETR, by its weights alone; nothing for another network.

    Args:
        network: The network, or its weights by name.

    Returns:
        ``channels`` and ``num_classes``, and ``width`` of a V-Net or ``feature_size`` and ``window_size`` of a Swin
        UNETR.
    """
    weights = network.state_dict() if isinstance(network, nn.Module) else network
    for first, last, size in (
        ("swinViT.patch_embed.proj.weight", "out.conv.conv.weight", "feature_size"),
        ("encoder1.0.weight", "head.weight", "width"),
    ):
        if first in weights and last in weights and weights[first].ndim == 5:
            sizes = {"channels": weights[first].shape[1], "num_classes": len(weights[last]), size: len(weights[first])}
            table = weights.get("swinViT.layers1.0.blocks.0.attn.relative_position_bias_table")
            if table is not None:
                sizes["window_size"] = (round(len(table) ** (1 / 3)) + 1) // 2
            return sizes
    return {}


def without_wrapper(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Weights by the names that the network itself gives them.

    PyTorch's ``DataParallel`` and ``DistributedDataParallel`` put ``module.`` before the name of every weight.

    Args:
        weights: Weights by name.

    Returns:
        The same weights, without ``module.`` if all names begin with it.
    """
    wrapped = all(str(name).startswith(WRAPPER) for name in weights)
    return {name.removeprefix(WRAPPER) if wrapped else name: it for name, it in weights.items()}


def _millimetres(spacing: Sequence[float]) -> str:
    return " × ".join(f"{value:.4g}" for value in spacing) + " mm"
