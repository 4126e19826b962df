"""Pseudo-labels of a volume by a generalist prompted in three views."""

from __future__ import annotations

import numpy as np
import torch
from monai.transforms import KeepLargestConnectedComponent
from numpy.typing import NDArray
from torch import Tensor

from common import IGNORE_INDEX
from common.checks import check_largest_volumes
from common.cohort.views import VIEWS
from common.generalists.fusion import fusion as fusion_named
from common.generalists.generalist import Generalist
from common.generalists.prompts import Prompts, prompts_from_masks


class MultiViewLabeler:
    """Labels a volume from a prediction (FM-ABS, MICCAI 2024).

    On every slice of every view, each connected component of the prediction prompts the generalist with a widened box
    and points; the masks of a view make up a label volume, and the views' volumes are fused.

    Args:
        generalist: the promptable 2D model.
        fusion: `majority`, `unanimous` or `mean`.
        abstain: 255 where the views disagree.
        widen_mm: least and greatest widening of a box's side in mm.
        points: points an object.
        min_area_mm2: smaller components of the prediction on a slice prompt nothing.
        largest: components of a class on a slice that prompt, largest first; all by default.
        largest_volumes: 3D components of a class that prompt, largest first; all by default.
        num_classes: C, background included; by default the prediction's largest value + 1, at least 2.
        prompts_per_call: prompts handed to the generalist at once, which bounds memory.
        views: the views used.

    Raises:
        ValueError: for an unknown fusion or view, or a number that makes no sense.
    """

    def __init__(
        self,
        generalist: Generalist,
        fusion: str = "majority",
        *,
        abstain: bool = False,
        widen_mm: tuple[float, float] = (0.0, 6.25),
        points: int = 5,
        min_area_mm2: float = 4.0,
        largest: int | None = None,
        largest_volumes: int | None = None,
        num_classes: int | None = None,
        prompts_per_call: int = 256,
        views: tuple[str, ...] = tuple(VIEWS),
    ) -> None:
        unknown = [view for view in views if view not in VIEWS]
        if unknown or not views:
            raise ValueError(f"views must be some of {', '.join(VIEWS)}, got {', '.join(map(repr, views)) or 'none'}")
        if prompts_per_call < 1:
            raise ValueError(f"prompts_per_call must be at least 1, got {prompts_per_call}")
        check_largest_volumes(largest_volumes)
        if num_classes is not None and num_classes < 2:
            raise ValueError(f"num_classes counts the background and must be at least 2, got {num_classes}")
        self.generalist = generalist
        self.fuse = fusion_named(fusion)
        self.abstain = abstain
        self.widen_mm = widen_mm
        self.points = points
        self.min_area_mm2 = min_area_mm2
        self.largest = largest
        self.largest_volumes = largest_volumes
        self.num_classes = num_classes
        self.prompts_per_call = prompts_per_call
        self.views = views

    def __call__(
        self,
        image: Tensor,
        prediction: NDArray[np.integer] | Tensor,
        spacing: tuple[float, float, float],
        seed: int = 0,
        *,
        similarity: Tensor | None = None,
    ) -> Tensor:
        """Labels one volume.

        Args:
            image: `[H, W, D]` float, RAS orientation, on the device to work on.
            prediction: the specialist's label map `[H, W, D]`; 255 counts as background.
            spacing: size of a voxel in mm along each axis.
            seed: decides the prompts.
            similarity: `[K, H, W, D]`, finite: of each voxel to each of the classes 1..K, e.g. `prototype_similarity`;
                decides the points instead of chance (see `prompts_from_masks`).

        Returns:
            uint8 label map `[H, W, D]` on the image's device, 255 where it abstains. Without a foreground in the
            prediction, all background.

        Raises:
            ValueError: if shapes differ, the image has NaN or infinite intensities, or a label is out of range.
        """
        image = image.as_subclass(Tensor)
        masks, classes = self._checked(image, prediction, spacing, similarity)
        label = torch.zeros(image.shape, dtype=torch.uint8, device=image.device)
        if not masks.any():
            return label
        views = self._views(image, masks, classes, spacing, seed, similarity)
        window = _window(views)
        label[window] = self.fuse(views[(slice(None), slice(None), *window)], abstain=self.abstain)
        return label

    def view_probabilities(
        self,
        image: Tensor,
        prediction: NDArray[np.integer] | Tensor,
        spacing: tuple[float, float, float],
        seed: int = 0,
        *,
        similarity: Tensor | None = None,
    ) -> Tensor:
        """Class probabilities by view, before fusion: `[V, C, H, W, D]` float; arguments and errors as for a call.

        In each view a class has the highest probability of its objects at a voxel, the background 1 minus the highest
        of all; then the classes are scaled to a sum of 1.
        """
        image = image.as_subclass(Tensor)
        masks, classes = self._checked(image, prediction, spacing, similarity)
        return self._views(image, masks, classes, spacing, seed, similarity)

    def _views(
        self,
        image: Tensor,
        masks: NDArray[np.integer],
        classes: int,
        spacing: tuple[float, float, float],
        seed: int,
        similarity: Tensor | None,
    ) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        similar = None if similarity is None else similarity.float().cpu()
        views = image.new_zeros((len(self.views), classes, *image.shape), dtype=torch.float32)
        for view, found in zip(self.views, views, strict=True):
            axis = VIEWS[view]
            row, column = (size for other, size in enumerate(spacing) if other != axis)
            prompts = prompts_from_masks(
                np.moveaxis(masks, axis, 0),
                (row, column),
                generator,
                widen_mm=self.widen_mm,
                points=self.points,
                min_area_mm2=self.min_area_mm2,
                largest=self.largest,
                similarity=None if similar is None else similar.movedim(axis + 1, 1),
            )
            objects = self._objects(image.movedim(axis, 0), prompts, classes - 1, (row, column))
            found[1:] = objects.movedim(1, axis + 1)
            _complete(found)
        return views

    def _objects(self, slices: Tensor, prompts: Prompts, classes: int, spacing: tuple[float, float]) -> Tensor:
        """Highest probability of the objects of each class: `[K, S, Hs, Ws]`."""
        found = torch.zeros(classes * slices.shape[0], *slices.shape[1:], device=slices.device)
        for begin in range(0, len(prompts), self.prompts_per_call):
            part = prompts[begin : begin + self.prompts_per_call]
            probability = self.generalist.segment(slices, part, spacing).to(found)
            target = (part.classes - 1) * slices.shape[0] + part.slice_index
            for index, mask in zip(target.tolist(), probability, strict=True):
                torch.maximum(found[index], mask, out=found[index])
        return found.view(classes, *slices.shape)

    def _checked(
        self,
        image: Tensor,
        prediction: NDArray[np.integer] | Tensor,
        spacing: tuple[float, float, float],
        similarity: Tensor | None,
    ) -> tuple[NDArray[np.integer], int]:
        if image.ndim != 3 or tuple(image.shape) != tuple(prediction.shape):
            raise ValueError(
                "image and prediction must both be [H, W, D] on one grid, "
                f"got shapes {tuple(image.shape)} and {tuple(prediction.shape)}"
            )
        if len(spacing) != 3 or min(spacing) <= 0:
            raise ValueError(f"spacing must be three positive numbers (mm), got {tuple(spacing)}")
        require_finite(image)
        masks = prediction.cpu().numpy() if isinstance(prediction, Tensor) else np.asarray(prediction)
        masks = np.where(masks == IGNORE_INDEX, 0, masks)
        highest = int(masks.max(initial=0))
        classes = self.num_classes or max(highest + 1, 2)
        if highest >= classes or int(masks.min(initial=0)) < 0:
            raise ValueError(f"prediction must hold classes 0..{classes - 1} (or 255), got {masks.min()} to {highest}")
        if similarity is not None and (similarity.shape[1:] != image.shape or len(similarity) < highest):
            raise ValueError(
                f"similarity must be [K, H, W, D] with K at least {highest} on the image's grid {tuple(image.shape)}, "
                f"got shape {tuple(similarity.shape)}"
            )
        if self.largest_volumes is not None:
            keep = KeepLargestConnectedComponent(is_onehot=False, num_components=self.largest_volumes)
            masks = np.asarray(keep(masks[None]))[0]
        return masks, classes


def require_finite(image: Tensor) -> None:
    """Raises ValueError, naming the first voxel, if the image has NaN or infinite intensities."""
    bad = ~torch.isfinite(image)
    if bad.any():
        first = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"image must have finite intensities, but {int(bad.sum())} voxels are NaN or infinite, "
            f"the first at {first}: {image[first].item()}"
        )


def _complete(probabilities: Tensor) -> None:
    """Fills in the background `[0]` of class probabilities `[C, ...]` and scales to a sum of 1, in place."""
    torch.sub(1, probabilities[1:].amax(dim=0), out=probabilities[0])
    if len(probabilities) > 2:
        probabilities /= probabilities.sum(dim=0)


def _window(views: Tensor) -> tuple[slice, slice, slice]:
    """The bounding box of the voxels where any view gives any class a probability."""
    some = (views[:, 0] < 1).any(dim=0)
    window = []
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        occupied = some.amax(dim=others).nonzero()
        window.append(slice(int(occupied[0]), int(occupied[-1]) + 1) if len(occupied) else slice(0, 0))
    return window[0], window[1], window[2]
