"""Dense labels from a few annotated slices: the mask on one slice prompts the generalist on the next one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common import IGNORE_INDEX
from common.cohort.volumes import VIEWS
from common.generalists.checks import check_views, checked_labels
from common.generalists.generalist import Generalist
from common.generalists.prompts import Prompts, prompts_from_masks


@dataclass(frozen=True)
class Propagation:
    """Walks outwards from annotated slices (for instance of a cross-label) in every view, and fuses the views' masks.

    A walk starts on both sides of an annotated slice. At each step the mask on the last slice prompts the generalist on
    the next one. The annotated slices of the other views cross that slice in lines, whose known voxels give further
    points and are kept as they are. A walk ends where the lines show that the object has ended (the rest of the view is
    background) or where the mask is no longer plausible (the view then has no opinion on the rest).

    Args:
        generalist: The promptable 2D model.
        widen_mm: Least and greatest distance in mm by which a side of a box is moved outwards; less than for a
            teacher's masks, since neighbouring slices are alike.
        points: Number of points drawn from the last mask.
        line_points: Number of points drawn from the crossing lines inside the object, and as many outside it.
        least_overlap: Least intersection over union of the masks on two neighbouring slices.
        greatest_change: Greatest ratio of their areas.
        least_line_dice: Least Dice of a mask on the crossing lines, before it is corrected there.
        abstain: Whether voxels on which views disagree become 255; if not, only those that no walk reached do.
        views: Names of the views in which it walks.

    Raises:
        ValueError: If a threshold is out of its range, or a view is unknown.
    """

    generalist: Generalist
    widen_mm: tuple[float, float] = (0.0, 1.5)
    points: int = 5
    line_points: int = 3
    least_overlap: float = 0.5
    greatest_change: float = 2.0
    least_line_dice: float = 0.5
    abstain: bool = False
    views: tuple[str, ...] = tuple(VIEWS)

    def __post_init__(self) -> None:
        check_views(self.views)
        for name in ("least_overlap", "least_line_dice"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0..1, got {getattr(self, name)}")
        if self.greatest_change < 1:
            raise ValueError(f"greatest_change is a ratio of areas and must be at least 1, got {self.greatest_change}")

    def __call__(
        self,
        image: Tensor,
        annotation: NDArray[np.integer] | Tensor,
        spacing: tuple[float, float, float],
        seed: int = 0,
        num_classes: int | None = None,
    ) -> Tensor:
        """Labels one volume.

        Args:
            image: The scan, `[H, W, D]`, floating point, in RAS orientation.
            annotation: Classes 0..K, and 255 where not annotated, `[H, W, D]`. At least one slice of a view must be
                fully annotated.
            spacing: Size of a voxel in mm along each axis.
            seed: Seed of the random prompts.
            num_classes: Number of classes C, background included; by default the annotation's largest + 1, at least 2.

        Returns:
            Label map, uint8 `[H, W, D]`, equal to the annotation where that is not 255.

        Raises:
            ValueError: If shapes differ, the image has NaN or infinite intensities, or no slice is fully annotated.
        """
        image = image.as_subclass(Tensor)
        array, classes = checked_labels("annotation", annotation, image, spacing, num_classes)
        known = torch.from_numpy(array.astype(np.int64))
        generator = torch.Generator().manual_seed(seed)
        total = torch.zeros(classes, *image.shape)
        opinions = torch.zeros(image.shape)
        highest, lowest = torch.zeros(image.shape), torch.full(image.shape, float(IGNORE_INDEX))
        for axis in (VIEWS[view] for view in self.views):
            row, column = (size for other, size in enumerate(spacing) if other != axis)
            walked = self._walk_view(image.movedim(axis, 0), known.movedim(axis, 0), classes, (row, column), generator)
            if walked is None:
                continue
            probabilities, reached = walked[0].movedim(1, axis + 1), walked[1]
            there = reached.view([-1 if other == axis else 1 for other in range(3)]).expand(image.shape)
            choice = probabilities.argmax(dim=0).float()
            total += probabilities * there
            opinions += there
            highest = torch.where(there, torch.maximum(highest, choice), highest)
            lowest = torch.where(there, torch.minimum(lowest, choice), lowest)
        if not opinions.any():
            views = ", ".join(self.views)
            raise ValueError(f"annotation must have at least one slice fully annotated (no 255) in {views}, found none")
        label = total.argmax(dim=0)
        label = torch.where(opinions > 0, label, IGNORE_INDEX)
        if self.abstain:
            label = torch.where(highest == lowest, label, IGNORE_INDEX)
        return torch.where(known == IGNORE_INDEX, label, known).to(torch.uint8).to(image.device)

    def _walk_view(
        self,
        slices: Tensor,
        known: Tensor,
        classes: int,
        spacing: tuple[float, float],
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor] | None:
        """Probabilities `[C, S, Hs, Ws]`, and which slices are settled, `[S]`; None without an annotated slice."""
        dense = (known != IGNORE_INDEX).all(dim=(1, 2))
        starts = dense.nonzero()[:, 0].tolist()
        if not starts:
            return None
        probabilities = torch.zeros(classes, *slices.shape)
        probabilities[0] = 1
        settled = dense.clone()
        for start in starts:
            probabilities[:, start] = _one_hot(known[start], classes)
        walkers = [
            _Walker(start, step, known[start].clone())
            for start in starts
            for step in (-1, 1)
            if 0 <= start + step < len(slices) and not dense[start + step]
        ]
        while walkers:
            going = [walker for walker in walkers if not self._ended(walker, known, settled)]
            found = self._step(going, slices, known, classes, spacing, generator) if going else []
            walkers = []
            for walker, probability in zip(going, found, strict=True):
                index = walker.index + walker.step
                mask = probability.argmax(dim=0)
                if not self._plausible(walker.mask, mask, known[index]):
                    continue
                lines = known[index] != IGNORE_INDEX
                mask = torch.where(lines, known[index], mask)
                probabilities[:, index] = torch.where(lines, _one_hot(mask, classes), probability)
                settled[index] = True
                walkers.append(_Walker(index, walker.step, mask))
        return probabilities, settled

    def _ended(self, walker: _Walker, known: Tensor, settled: Tensor) -> bool:
        """Whether a walk ends before its next slice; if the object has ended, the rest is settled as background."""
        index = walker.index + walker.step
        if not 0 <= index < len(known) or settled[index]:
            return True
        lines = known[index] != IGNORE_INDEX
        if (lines.any() and not known[index][lines].any()) or not walker.mask.any():
            rest = range(index, len(known)) if walker.step > 0 else range(index, -1, -1)
            for position in rest:
                here = known[position]
                if settled[position] or ((here != IGNORE_INDEX) & (here > 0)).any():
                    break
                settled[position] = True
            return True
        return False

    def _step(
        self,
        walkers: list[_Walker],
        slices: Tensor,
        known: Tensor,
        classes: int,
        spacing: tuple[float, float],
        generator: torch.Generator,
    ) -> list[Tensor]:
        """Probabilities `[C, Hs, Ws]` on each walker's next slice."""
        indices = torch.tensor([walker.index + walker.step for walker in walkers])
        lines = known[indices]
        lines_objects = torch.where(lines == IGNORE_INDEX, 0, lines)
        masks = torch.stack([walker.mask for walker in walkers])
        masks = torch.where(lines_objects > 0, lines_objects, masks)
        prompts = prompts_from_masks(masks, spacing, generator, widen_mm=self.widen_mm, points=self.points)
        prompts = self._with_line_points(prompts, lines, generator)
        placed = replace(prompts, slice_index=indices[prompts.slice_index])
        segmented = self.generalist.segment(slices, placed, spacing).float().cpu()
        found = torch.zeros(len(walkers), classes, *slices.shape[1:])
        for probability, position, value in zip(segmented, prompts.slice_index, prompts.classes, strict=True):
            torch.maximum(found[position, value], probability, out=found[position, value])
        found[:, 0] = 1 - found[:, 1:].amax(dim=1)
        return list(found / found.sum(dim=1, keepdim=True))

    def _with_line_points(self, prompts: Prompts, lines: Tensor, generator: torch.Generator) -> Prompts:
        """Adds points on the crossing lines within each box: positive ones of its class, negative ones of others."""
        points, labels = [], []
        for box, position, value in zip(prompts.boxes, prompts.slice_index, prompts.classes, strict=True):
            left, top = box[:2].floor().long().tolist()
            right, bottom = box[2:].ceil().long().tolist()
            window = lines[position, top:bottom, left:right]
            drawn, kinds = torch.zeros(2 * self.line_points, 2), torch.full((2 * self.line_points,), -1)
            for kind, where in ((1, window == value), (0, (window != value) & (window != IGNORE_INDEX))):
                pixels = where.nonzero().flip(1).float() + torch.tensor([left, top])
                if len(pixels):
                    picks = torch.randint(len(pixels), (self.line_points,), generator=generator)
                    rows = slice(kind * self.line_points, (kind + 1) * self.line_points)
                    drawn[rows], kinds[rows] = pixels[picks], kind
            points.append(drawn)
            labels.append(kinds)
        if not points:
            return prompts
        return replace(
            prompts,
            points=torch.cat([prompts.points, torch.stack(points)], dim=1),
            point_labels=torch.cat([prompts.point_labels, torch.stack(labels)], dim=1),
        )

    def _plausible(self, last: Tensor, mask: Tensor, known: Tensor) -> bool:
        """Whether a mask is plausible, compared with the last slice's and with the known voxels of the lines."""
        before, after = last > 0, mask > 0
        areas = sorted((int(before.sum()), int(after.sum())))
        if areas[0] == 0 or areas[1] > self.greatest_change * areas[0]:
            return False
        both = (before & after & (last == mask)).sum().item()
        if both < self.least_overlap * (before | after).sum().item():
            return False
        lines = known != IGNORE_INDEX
        truth, found = known[lines], mask[lines]
        size = int((truth > 0).sum() + (found > 0).sum())
        agreed = int(((truth == found) & (truth > 0)).sum())
        return size == 0 or 2 * agreed >= self.least_line_dice * size


@dataclass(frozen=True)
class _Walker:
    """A walk's last slice, its direction (1 or -1), and the mask found there."""

    index: int
    step: int
    mask: Tensor


def _one_hot(label: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(label, classes).movedim(-1, 0).float()
