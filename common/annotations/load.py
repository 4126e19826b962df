"""Transform that adds the current annotations to training items."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai.transforms import MapTransform
from monai.transforms.traits import RandomizableTrait

from common import IGNORE_INDEX

if TYPE_CHECKING:
    from common.annotations.ledger import Ledger
    from common.annotations.store import AnnotationStore


class LoadAnnotationsd(MapTransform, RandomizableTrait):
    """Adds a scan's current annotation and pseudo-label to the item; all voxels are 255 where the store has none.

    Annotations change during training, so they must not be cached. MONAI's cached datasets keep the results of the
    transforms before the first random one, hence this transform counts as random.

    If some classes only were annotated in any scan, every item gets ``annotation_classes`` too, uint8 ``[C]``: 1 for
    the background and for each class that was annotated, which are all classes in other scans.

    Args:
        store: Store of the annotations.
        keys: Kinds of annotation to add, each under its own name, as uint8 ``[1, H, W, D]``.
        scan_key: Entry of the item that holds the scan's id.
        image_key: Entry of the item that holds the image ``[channels, H, W, D]``, which gives the grid.
        ledger: Ledger that tells which classes were annotated; without it, all were.
        num_classes: Number of classes C, including the background; needed with a ledger.

    Raises:
        ValueError: If an annotation has another grid than the image, or ``num_classes`` is missing.
    """

    def __init__(
        self,
        store: AnnotationStore,
        keys: Sequence[str] = ("annotation", "pseudo_label"),
        scan_key: str = "scan",
        image_key: str = "image",
        *,
        ledger: Ledger | None = None,
        num_classes: int | None = None,
    ) -> None:
        super().__init__(keys)
        if ledger is not None and num_classes is None:
            raise ValueError("num_classes must be given together with a ledger, got None.")
        self.ledger = ledger
        self.num_classes = num_classes or 0
        self.store = store
        self.scan_key = scan_key
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        scan = item[self.scan_key]
        grid = tuple(item[self.image_key].shape[1:])
        for key in self.keys:
            annotation = self.store.read(str(key), scan)
            if annotation is None:
                item[key] = torch.full((1, *grid), IGNORE_INDEX, dtype=torch.uint8)
                continue
            if annotation.shape != grid:
                path = self.store.path(str(key), scan)
                raise ValueError(f"{path}: expected the image's grid {grid}, found {annotation.shape}.")
            item[key] = torch.from_numpy(np.array(annotation))[None]
        if self.ledger is not None and (partial := self.ledger.partial_classes):
            item["annotation_classes"] = class_set(partial.get(scan), self.num_classes)
        return item


def class_set(classes: Sequence[int] | None, num_classes: int) -> torch.Tensor:
    """The background and some classes as a set, uint8 ``[C]``: 1 for its members.

    Args:
        classes: The classes; None for all.
        num_classes: Number of classes C, including the background.

    Example:
        >>> class_set([2], num_classes=4)
        tensor([1, 0, 1, 0], dtype=torch.uint8)
    """
    if classes is None:
        return torch.ones(num_classes, dtype=torch.uint8)
    members = torch.zeros(num_classes, dtype=torch.uint8)
    members[[0, *classes]] = 1
    return members
