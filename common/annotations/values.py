"""The values that a drawing may hold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from common import IGNORE_INDEX


def check_values(array: np.ndarray, labels: Mapping[int, str], *, what: str) -> None:
    """Refuses a drawing with values that mean nothing, or from which no class can be told from the background.

    Args:
        array: Label map uint8; 0 background, 1..K classes, 255 not annotated.
        labels: Name of each class 1..K.
        what: What the drawing is, for the error's message: its file.

    Raises:
        ValueError: If it holds other values, or lacks background or foreground.
    """
    values = values_of(array)
    unknown = [value for value in values if value not in (0, *labels, IGNORE_INDEX)]
    if unknown:
        allowed = f"0 background, {class_names(labels)} and {IGNORE_INDEX} not annotated"
        raise ValueError(f"{what}: expected {allowed}, found {', '.join(map(str, unknown[:5]))}.")
    if 0 not in values or not any(value in labels for value in values):
        present = "only background" if 0 in values else "no background"
        raise ValueError(f"{what}: expected background (0) and foreground ({class_names(labels)}), found {present}.")


def values_of(array: np.ndarray) -> list[int]:
    """The values of a label map uint8, in ascending order."""
    counts: np.ndarray = np.bincount(array.ravel(), minlength=IGNORE_INDEX + 1)
    return np.flatnonzero(counts).tolist()


def class_names(labels: Mapping[int, str]) -> str:
    """The classes and their values in words."""
    return ", ".join(f"{value} {name}" for value, name in labels.items())
