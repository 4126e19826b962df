"""Reads what is annotated now."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from monai.transforms import MapTransform
from monai.transforms.traits import RandomizableTrait

from common import IGNORE_INDEX

if TYPE_CHECKING:
    from common.annotations.store import AnnotationStore


class LoadAnnotationsd(MapTransform, RandomizableTrait):
    """Adds a scan's current annotation and pseudo-label to the item; all 255 where the store has none.

    Annotations change while a network trains, so this is never cached: MONAI's cached datasets keep what comes before a
    random transform, and this counts as one.

    Args:
        store: where the annotations are.
        keys: kinds of annotation, each stored in the item under its own name as uint8 ``[1, H, W, D]``.
        scan_key: the item's entry with the scan's id.
        image_key: the item's entry with the image ``[channels, H, W, D]``, for the grid.

    Raises:
        ValueError: if an annotation has another grid than the image.
    """

    def __init__(
        self,
        store: AnnotationStore,
        keys: Sequence[str] = ("annotation", "pseudo_label"),
        scan_key: str = "scan",
        image_key: str = "image",
    ) -> None:
        super().__init__(keys)
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
        return item
