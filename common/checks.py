"""Checks of settings that library and configs share, made before anything is computed."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from common.settings import Setting, check_values

logger = logging.getLogger(__name__)


def check_one_of(name: str, given: str, known: Iterable[str]) -> None:
    """Refuses a word that is none of those that a setting can be.

    Args:
        name: Name of the setting, for the message.
        given: The word.
        known: The words that the setting can be.

    Raises:
        ValueError: Naming the setting, the words and what was given.
    """
    if given not in (words := list(known)):
        raise ValueError(f"{name} must be one of {', '.join(words)}, got {given!r}.")


def yes_or_no(name: str, given: object) -> bool:
    """Reads a setting that is switched on or off, as people write it on the command line and in files.

    Args:
        name: Name of the setting, for the message.
        given: True or False, 1 or 0, or one of these words in any case: the command line of `monai.bundle` hands
            ``false`` on as a text.

    Raises:
        ValueError: Naming the setting, what was expected and what was found.

    Example:
        >>> yes_or_no("propagate", "false"), yes_or_no("propagate", 1)
        (False, True)
    """
    return bool(check_values({name: Setting(type="yes_or_no")}, {name: given})[name])


def check_largest_volumes(largest_volumes: int | None) -> None:
    """Refuses a number of components to keep that is not None or a whole number of at least 1.

    Raises:
        ValueError: Naming the setting, what was expected and what was found.
    """
    if largest_volumes is not None and (type(largest_volumes) is not int or largest_volumes < 1):
        raise ValueError(f"largest_volumes must be a whole number of at least 1 (or None), got {largest_volumes!r}.")


def check_window(network: nn.Module, roi_size: Sequence[int], channels: int) -> None:
    """Refuses patches that a network cannot take, by one pass of an empty patch.

    Args:
        network: Any network; it stays as it is.
        roi_size: Size of the patches, in voxels.
        channels: Number of channels of the images.

    Raises:
        ValueError: Naming the settings, and what the network says.
    """
    device = next((weights.device for weights in network.parameters()), None)
    try:
        with torch.no_grad():
            copy.deepcopy(network).eval()(torch.zeros(1, channels, *roi_size, device=device))
    except Exception as error:  # layers raise whatever they like; the last words of a command must be ours
        raise ValueError(
            f"expected a roi_size and channels that {type(network).__name__} can take, found roi_size "
            f"{list(roi_size)} and channels {channels}: {error}"
        ) from None


def check_checkpoint(path: str | Path) -> None:
    """Refuses to evaluate without weights.

    Raises:
        FileNotFoundError: Naming the file, and how to make it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{path}: expected the weights of a trained model. Train first, or give --output_dir or --checkpoint."
        )


def check_retraining(
    *,
    semi_supervised: str,
    pseudo_labels: str,
    pseudo_label_dir: str | Path | None,
    online_network: Any,
    batch_unlabelled: int,
) -> None:
    """Refuses settings of SFR's re-training that do not fit each other, and warns loudly if there are no pseudo-labels.

    Args:
        semi_supervised: Companion loss for unlabelled scans, see :mod:`common.losses.companions`.
        pseudo_labels: Where the pseudo-labels come from: ``precomputed`` files, or ``online``, a network at every
            iteration.
        pseudo_label_dir: Folder of the pseudo-labels made before, or None.
        online_network: The network that makes them at every iteration, or None.
        batch_unlabelled: Number of patches of unlabelled scans per batch.

    Raises:
        ValueError: Naming the setting, what was expected and what was found.
    """
    if semi_supervised == "ict" and batch_unlabelled < 2:
        raise ValueError(f"batch_unlabelled must be at least 2 to be mixed (ict), got {batch_unlabelled}.")
    if pseudo_labels == "online":
        if online_network is None:
            raise ValueError(
                "online_network must be a network that labels crops when pseudo_labels is 'online', got None."
            )
    elif not pseudo_label_dir:
        logger.warning(
            "NO PSEUDO-LABELS: this is not SFR but training with semi_supervised %r alone. For SFR add "
            "--pseudo_label_dir DIR, as the bundle sfr_stitch_finetune makes it.",
            semi_supervised,
        )
