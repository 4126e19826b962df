"""Dense labels from a few annotated slices: each expert's mask prompts its neighbour, and so on outwards."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common import IGNORE_INDEX
from common.cohort.views import VIEWS
from common.generalists.generalist import Generalist
from common.generalists.multi_view import require_finite
from common.generalists.prompts import Prompts, prompts_from_masks


@dataclass(frozen=True)
class Propagation:
    """Walks outwards from annotated slices (of a cross-label, say) in every view and fuses what the views found.

    From an annotated slice a walk goes to both sides. At each step the mask of the last slice prompts the generalist on
    the next one; the annotated slices of the other views cross that slice in lines, whose known voxels give further
    points and are kept as they are. A walk ends where the lines show that the object has ended (the rest of the view is
    background) or where the mask is no longer plausible (the view says nothing about the rest).

    Args:
        generalist: the promptable 2D model.
        widen_mm: least and greatest widening of a box's side in mm, smaller than from a teacher: neighbours are alike.
        points: points drawn in the last mask.
        line_points: points drawn from the crossing lines, in the object and out of it each.
        least_overlap: least intersection over union of the masks of two neighbouring slices.
        greatest_change: greatest ratio of their areas.
        least_line_dice: least Dice, on the crossing lines, of the mask before it is corrected there.
        abstain: 255 where views disagree; without it, 255 only where no walk came.

    Raises:
        ValueError: if a threshold is out of range.
    """

    generalist: Generalist
    widen_mm: tuple[float, float] = (0.0, 1.5)
    points: int = 5
    line_points: int = 3
    least_overlap: float = 0.5
    greatest_change: float = 2.0
    least_line_dice: float = 0.5
    abstain: bool = False

    def __post_init__(self) -> None:
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
            image: `[H, W, D]` float, RAS orientation.
            annotation: `[H, W, D]`, 0..K and 255 where not annotated; at least one slice of a view fully annotated.
            spacing: size of a voxel in mm along each axis.
            seed: decides the prompts.
            num_classes: C, background included; by default what the annotation holds, at least 2.

        Returns:
            uint8 label map `[H, W, D]`, equal to the annotation where that is not 255.

        Raises:
            ValueError: if shapes differ, the image has NaN or infinite intensities, or no slice is fully annotated.
        """
        known = torch.as_tensor(np.array(annotation.cpu() if isinstance(annotation, Tensor) else annotation)).long()
        if image.ndim != 3 or known.shape != image.shape:
            raise ValueError(
                "image and annotation must both be [H, W, D] on one grid, "
                f"got shapes {tuple(image.shape)} and {tuple(known.shape)}"
            )
        image = image.as_subclass(Tensor)
        require_finite(image)
        annotated = known[known != IGNORE_INDEX]
        classes = num_classes or max(2, int(annotated.max()) + 1 if annotated.numel() else 2)
        if annotated.numel() and not 0 <= int(annotated.min()) <= int(annotated.max()) < classes:
            raise ValueError(
                f"annotation must hold classes 0..{classes - 1} (or 255), "
                f"got {int(annotated.min())} to {int(annotated.max())}"
            )
        if len(spacing) != 3 or min(spacing) <= 0:
            raise ValueError(f"spacing must be three positive numbers (mm), got {tuple(spacing)}")
        generator = torch.Generator().manual_seed(seed)
        total = torch.zeros(classes, *image.shape)
        said = torch.zeros(image.shape)
        highest, lowest = torch.zeros(image.shape), torch.full(image.shape, float(IGNORE_INDEX))
        for axis in VIEWS.values():
            row, column = (size for other, size in enumerate(spacing) if other != axis)
            walked = self._walk_view(image.movedim(axis, 0), known.movedim(axis, 0), classes, (row, column), generator)
            if walked is None:
                continue
            probabilities, reached = walked[0].movedim(1, axis + 1), walked[1]
            there = reached.view([-1 if other == axis else 1 for other in range(3)]).expand(image.shape)
            choice = probabilities.argmax(dim=0).float()
            total += probabilities * there
            said += there
            highest = torch.where(there, torch.maximum(highest, choice), highest)
            lowest = torch.where(there, torch.minimum(lowest, choice), lowest)
        if not said.any():
            raise ValueError("annotation must have at least one slice of a view fully annotated (no 255), found none")
        label = total.argmax(dim=0)
        label = torch.where(said > 0, label, IGNORE_INDEX)
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
        """Probabilities `[C, S, Hs, Ws]` and the slices `[S]` a walk has settled; None without an annotated slice."""
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
        """Whether a walk ends before its next slice; where the object has ended, the rest is settled as background."""
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
        """Adds points of the crossing lines within each box: of its class as positive, of others as negative."""
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
        return Prompts(
            prompts.boxes,
            torch.cat([prompts.points, torch.stack(points)], dim=1),
            torch.cat([prompts.point_labels, torch.stack(labels)], dim=1),
            prompts.slice_index,
            prompts.classes,
        )

    def _plausible(self, last: Tensor, mask: Tensor, known: Tensor) -> bool:
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
    index: int
    step: int
    mask: Tensor


def _one_hot(label: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(label, classes).movedim(-1, 0).float()
