"""Checks of a bundle's settings before anything is computed."""

from __future__ import annotations

import ast
import contextlib
import copy
import difflib
import inspect
import json
import logging
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import Any

import torch
from monai.bundle import scripts
from torch import nn

logger = logging.getLogger(__name__)


def explain_errors() -> None:
    """Makes a command that fails end with what went wrong, which MONAI leaves far above its own last line.

    Where this package itself refuses something, its words are enough; all else comes with the traceback.
    """
    sys.excepthook = _explain


def _explain(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    cause = error
    while cause.__cause__ is not None and _raised_in(cause, "monai"):
        cause = cause.__cause__
    if not (isinstance(cause, (ValueError, FileNotFoundError)) and _raised_in(cause, "common")):
        sys.__excepthook__(kind, error, traceback)
    print(f"\n{type(cause).__name__}: {cause}", file=sys.stderr)


def explained(output: str) -> str:
    """What went wrong, from all that a failed command has printed; its last lines if it did not say."""
    *_, last = re.split(r"\n\n(?=\w+: )", f"\n\n{output}")
    return last.strip() if re.match(r"\w+: ", last) else "\n".join(output.splitlines()[-15:])


def _raised_in(error: BaseException, package: str) -> bool:
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_globals.get("__name__", "").startswith(f"{package}.")


def check_overrides(config_file: str | Path, arguments: Sequence[str] | None = None) -> None:
    """Refuses command-line overrides whose id the config does not have; MONAI takes them in silence.

    Args:
        config_file: the config, or a file of the same folder's workflow, whose top-level ids are known.
        arguments: of the command line; ``sys.argv`` by default, and nothing is checked unless it runs a bundle.

    Raises:
        ValueError: naming each unknown override and the nearest known ids.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if "--config_file" not in arguments and not any(word.startswith("--config_file=") for word in arguments):
        return
    files = [Path(config_file), *(Path(name) for name in _config_files(arguments))]
    known = set(inspect.signature(scripts.run).parameters)
    for file in files:
        known |= set(json.loads(file.read_text()))
    words = [word[2:].split("=")[0] for word in arguments if word.startswith("--")]
    check_settings((word.lstrip("+").split("::")[0] for word in words), known, where=str(config_file), sign="--")


def check_settings(names: Iterable[str], known: Collection[str], *, where: str, sign: str = "") -> None:
    """Refuses settings that nothing knows, and says which were perhaps meant.

    Args:
        names: ids of settings, ``#`` before what lies within.
        known: top-level ids.
        where: what should have them, for the message.
        sign: before a name, for the message.

    Raises:
        ValueError: naming each unknown setting and the nearest known ids.
    """
    hints = []
    for name in names:
        if name.split("#")[0] not in known:
            near = " or ".join(sign + other for other in difflib.get_close_matches(name, known, n=2))
            hints.append(f"{sign}{name}" + (f" (did you mean {near}?)" if near else ""))
    if hints:
        raise ValueError(f"{where} has no setting for {', '.join(hints)}.")


def check_one_of(name: str, given: str, known: Iterable[str]) -> None:
    """Refuses a word that is none of those that a setting can be.

    Raises:
        ValueError: naming the setting, the words and what was given.
    """
    if given not in (words := list(known)):
        raise ValueError(f"{name} must be one of {', '.join(words)}, got {given!r}.")


def _config_files(arguments: Sequence[str]) -> list[str]:
    for index, word in enumerate(arguments):
        if word.startswith("--config_file="):
            text = word.split("=", 1)[1]
        elif word == "--config_file" and index + 1 < len(arguments):
            text = arguments[index + 1]
        else:
            continue
        with contextlib.suppress(SyntaxError, ValueError):
            names = ast.literal_eval(text)
            return [names] if isinstance(names, str) else list(names)
        return [name.strip(" '\"") for name in text.strip("[]()").split(",") if name.strip()]
    return []


def check_roi_size(roi_size: Sequence[int], divisor: int = 16) -> None:
    """Refuses patches that the specialist cannot take.

    Raises:
        ValueError: naming the setting, what was expected and what was found.
    """
    if len(roi_size) != 3 or any(size < divisor or size % divisor for size in roi_size):
        raise ValueError(f"roi_size must be three sizes divisible by {divisor}, got {list(roi_size)}.")


def check_largest_volumes(largest_volumes: int | None) -> None:
    """Refuses what is no number of components to keep.

    Raises:
        ValueError: naming the setting, what was expected and what was found.
    """
    if largest_volumes is not None and (type(largest_volumes) is not int or largest_volumes < 1):
        raise ValueError(f"largest_volumes must be a whole number of at least 1 (or None), got {largest_volumes!r}.")


def check_window(network: nn.Module, roi_size: Sequence[int], channels: int) -> None:
    """Refuses patches that a network cannot take, by one pass of an empty patch.

    Args:
        network: any; it stays as it is.
        roi_size: of the patches, in voxels.
        channels: of the images.

    Raises:
        ValueError: naming the settings, and what the network says.
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
        FileNotFoundError: naming the file, and how to make it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{path}: expected the weights of a trained model. Train first, or give --output_dir or --checkpoint."
        )


COMPANIONS = ("mean_teacher", "uamt", "cps", "ict", "none")
MODES = ("precomputed", "online")


def check_retraining(
    *,
    semi_supervised: str,
    pseudo_labels: str,
    pseudo_label_dir: str | Path | None,
    online_network: Any,
    batch_unlabelled: int,
) -> None:
    """Refuses settings that do not fit each other, and says so loudly if there are no pseudo-labels.

    Args:
        semi_supervised: one of ``COMPANIONS``.
        pseudo_labels: one of ``MODES``.
        pseudo_label_dir: folder of the pseudo-labels made before, or None.
        online_network: that makes them in every iteration, or None.
        batch_unlabelled: unlabelled scans a batch.

    Raises:
        ValueError: naming the setting, what was expected and what was found.
    """
    check_one_of("semi_supervised", semi_supervised, COMPANIONS)
    check_one_of("pseudo_labels", pseudo_labels, MODES)
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
