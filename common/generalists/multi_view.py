"""Labels a volume by a generalist that is prompted on the slices of three views."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np
import torch
from monai.transforms import KeepLargestConnectedComponent, generate_spatial_bounding_box
from numpy.typing import NDArray
from torch import Tensor

from common import IGNORE_INDEX
from common.checks import check_largest_volumes
from common.cohort.volumes import VIEWS
from common.generalists.checks import check_views, checked_labels
from common.generalists.fusion import fusion
from common.generalists.generalist import Generalist
from common.generalists.prompts import Prompts, prompts_from_masks


@dataclass(frozen=True)
class MultiViewLabeler:
    """Labels a volume from a prediction of it (FM-ABS, MICCAI 2024).

    On every slice of every view, each connected component of the prediction prompts the generalist with a widened box
    and points. The generalist's masks make up one volume of class probabilities per view, and these are fused.

    Args:
        generalist: The promptable 2D model.
        fusion: `majority`, `unanimous` or `mean`.
        abstain: Whether voxels on which the views disagree become 255.
        widen_mm: Least and greatest distance in mm by which a side of a box is moved outwards.
        points: Number of points per object.
        min_area_mm2: Area in mm² below which a component on a slice is not used as a prompt.
        largest: Number of components of a class used per slice, largest first; by default all.
        largest_volumes: Number of 3D components of a class used, largest first; by default all.
        num_classes: Number of classes C, background included; by default the prediction's largest + 1, at least 2.
        prompts_per_call: Number of prompts handed to the generalist at once, which bounds memory.
        views: Names of the views that are used.
        specialist_views: Number of views that the specialist's own probabilities count for.
        least_confidence: Voxels become 255 where the mean probability of the fused class, over all views, is lower.

    Raises:
        ValueError: If a fusion or view is unknown, or a number makes no sense.
    """

    generalist: Generalist
    fusion: str = "majority"
    _: KW_ONLY
    abstain: bool = False
    widen_mm: tuple[float, float] = (0.0, 6.25)
    points: int = 5
    min_area_mm2: float = 4.0
    largest: int | None = None
    largest_volumes: int | None = None
    num_classes: int | None = None
    prompts_per_call: int = 256
    views: tuple[str, ...] = tuple(VIEWS)
    specialist_views: int = 0
    least_confidence: float = 0.0

    def __post_init__(self) -> None:
        check_views(self.views)
        if self.prompts_per_call < 1:
            raise ValueError(f"prompts_per_call must be at least 1, got {self.prompts_per_call}")
        fusion(self.fusion)
        check_largest_volumes(self.largest_volumes)
        if self.specialist_views < 0:
            raise ValueError(f"specialist_views must not be negative, got {self.specialist_views}")
        if not 0 <= self.least_confidence <= 1:
            raise ValueError(f"least_confidence must lie in 0..1, got {self.least_confidence}")
        if self.num_classes is not None and self.num_classes < 2:
            raise ValueError(f"num_classes counts the background and must be at least 2, got {self.num_classes}")

    def __call__(
        self,
        image: Tensor,
        prediction: NDArray[np.integer] | Tensor,
        spacing: tuple[float, float, float],
        seed: int = 0,
        *,
        similarity: Tensor | None = None,
        specialist: Tensor | None = None,
    ) -> Tensor:
        """Labels one volume.

        Args:
            image: The scan, `[H, W, D]`, floating point, in RAS orientation, on the device to work on.
            prediction: The specialist's label map `[H, W, D]`, in which 255 counts as background.
            spacing: Size of a voxel in mm along each axis.
            seed: Seed of the random prompts.
            similarity: Similarity of each voxel to each of the classes 1..K, `[K, H, W, D]`, finite, for instance by
                `prototype_similarity`. It decides the points instead of chance (see `prompts_from_masks`).
            specialist: The specialist's probabilities `[C, H, W, D]`, background first; needed for `specialist_views`.

        Returns:
            Label map, uint8 `[H, W, D]`, on the image's device, 255 where it abstains. It is all background if the
            prediction is.

        Raises:
            ValueError: If shapes differ, the image has NaN or infinite intensities, a label is out of range, or the
                specialist's probabilities are wanted and not given.
        """
        image = image.as_subclass(Tensor)
        masks, classes = self._checked(image, prediction, spacing, similarity)
        label = torch.zeros(image.shape, dtype=torch.uint8, device=image.device)
        if not masks.any():
            return label
        views = self._views(image, masks, classes, spacing, seed, similarity)
        if self.specialist_views:
            views = torch.cat([views, self._specialist(specialist, views)])
        # Outside this box every view is sure of the background.
        start, end = generate_spatial_bounding_box(views[:, 0], select_fn=lambda background: background < 1)
        window = tuple(map(slice, start, end))
        inside = views[:, :, window[0], window[1], window[2]]
        fused = fusion(self.fusion)(inside, abstain=self.abstain)
        if self.least_confidence:
            known = torch.where(fused == IGNORE_INDEX, 0, fused).long()[None]
            confidence = inside.mean(dim=0).gather(0, known)[0]
            fused = torch.where(confidence < self.least_confidence, IGNORE_INDEX, fused).to(torch.uint8)
        label[window] = fused
        return label

    def _specialist(self, specialist: Tensor | None, views: Tensor) -> Tensor:
        """The specialist's probabilities, as often as they count: `[N, C, H, W, D]`."""
        if specialist is None or specialist.shape != views.shape[1:]:
            found = "none" if specialist is None else f"shape {tuple(specialist.shape)}"
            raise ValueError(
                f"specialist must be the specialist's probabilities {tuple(views.shape[1:])}, of which "
                f"specialist_views={self.specialist_views} makes views, got {found}"
            )
        return specialist.as_subclass(Tensor).to(views).expand(self.specialist_views, *specialist.shape)

    def view_probabilities(
        self,
        image: Tensor,
        prediction: NDArray[np.integer] | Tensor,
        spacing: tuple[float, float, float],
        seed: int = 0,
        *,
        similarity: Tensor | None = None,
    ) -> Tensor:
        """Class probabilities per view before fusion, `[V, C, H, W, D]`; arguments and errors are those of a call.

        In each view, the probability of a class at a voxel is the highest of its objects', that of the background is 1
        minus the highest of all; then the classes are scaled to a sum of 1.
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
        """Segments all prompts; the highest probability of the objects of each class: `[K, S, Hs, Ws]`."""
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
        labels, classes = checked_labels("prediction", prediction, image, spacing, self.num_classes)
        masks = np.where(labels == IGNORE_INDEX, 0, labels)
        highest = int(masks.max(initial=0))
        if similarity is not None and (similarity.shape[1:] != image.shape or len(similarity) < highest):
            raise ValueError(
                f"similarity must be [K, H, W, D] with K at least {highest} on the image's grid {tuple(image.shape)}, "
                f"got shape {tuple(similarity.shape)}"
            )
        if self.largest_volumes is not None:
            keep = KeepLargestConnectedComponent(is_onehot=False, num_components=self.largest_volumes)
            masks = np.asarray(keep(masks[None]))[0]
        return masks, classes


def _complete(probabilities: Tensor) -> None:
    """Fills in the background of class probabilities `[C, ...]` and scales them to a sum of 1, in place."""
    torch.sub(1, probabilities[1:].amax(dim=0), out=probabilities[0])
    if len(probabilities) > 2:
        probabilities /= probabilities.sum(dim=0)
