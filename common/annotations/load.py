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
    from common.annotations.store import AnnotationStore


class LoadAnnotationsd(MapTransform, RandomizableTrait):
    """Adds a scan's current annotation and pseudo-label to the item; all voxels are 255 where the store has none.

    Annotations change during training, so they must not be cached. MONAI's cached datasets keep the results of the
    transforms before the first random one, hence this transform counts as random.

    Args:
        store: Store of the annotations.
        keys: Kinds of annotation to add, each under its own name, as uint8 ``[1, H, W, D]``.
        scan_key: Entry of the item that holds the scan's id.
        image_key: Entry of the item that holds the image ``[channels, H, W, D]``, which gives the grid.

    Raises:
        ValueError: If an annotation has another grid than the image.
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
