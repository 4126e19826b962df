"""What may be wrong with the values of a label."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from common import IGNORE_INDEX
from common.cohort.cohort import Scan


def label_problems(voxels: np.ndarray, scan: Scan, labels: Mapping[int, str]) -> list[str]:
    """What is wrong with a label's values, one line per problem: the file, what was expected and found.

    Args:
        voxels: The label ``[H, W, D]``, of any type.
        scan: Its scan.
        labels: Name of each class 1..K.
    """
    values = np.unique(voxels).tolist()
    found = []
    if unknown := [value for value in values if value not in (0, *labels, IGNORE_INDEX)]:
        declared = ", ".join(f"{value} {name}" for value, name in labels.items())
        text = ", ".join(f"{value:g}" for value in unknown[:5])
        found.append(
            f"{scan.label}: expected 0 background, {declared}, {IGNORE_INDEX} not annotated, found the values {text}; "
            "declare or re-map them."
        )
    known = labels if scan.annotated_classes is None else scan.annotated_classes
    if others := [labels[int(value)] for value in values if value in labels and value not in known]:
        names = ", ".join(labels[number] for number in known)
        found.append(
            f"{scan.label}: expected the annotated classes alone ({names}), found voxels of {', '.join(others)}; add "
            "what was annotated to annotated_classes in the datalist."
        )
    if values == [IGNORE_INDEX]:
        found.append(
            f"{scan.label}: expected annotated voxels, found every voxel at {IGNORE_INDEX} (not annotated); leave the "
            "label or the scan out."
        )
    elif not any(value not in (0, IGNORE_INDEX) for value in values):
        found.append(
            f"{scan.label}: expected a label with foreground, found an empty one; leave the label or the scan out."
        )
    return found


def left_out(voxels: np.ndarray, scan: Scan, labels: Mapping[int, str]) -> str | None:
    """What a label does not tell, in words; None if it is dense, and of all classes.

    Args:
        voxels: The label ``[H, W, D]``.
        scan: Its scan.
        labels: Name of each class 1..K.
    """
    if number := int(np.count_nonzero(voxels == IGNORE_INDEX)):
        return f"{number:,} of {voxels.size:,} voxels that are not annotated ({IGNORE_INDEX})"
    if scan.annotated_classes is not None:
        names = ", ".join(labels.get(number, str(number)) for number in scan.annotated_classes)
        return f"one of some classes only ({names})"
    return None
