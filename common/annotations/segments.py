"""What a label map means that an annotator has saved as segments, as 3D Slicer does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from common import IGNORE_INDEX
from common.annotations.annotation import Annotation
from common.annotations.cross_label import complete_slices, cross_label, on_slices, whole_slices
from common.annotations.values import check_values, class_names, values_of
from common.cohort.volumes import VIEWS, integer_labels, scan_spacing, to_ras

ANNOTATED_BACKGROUND = "annotated background"
"""Segment of the voxels that the annotator has looked at and that belong to no class."""

WHOLE_SCAN = "whole scan"
"""Segment that says, wherever it is drawn, that the whole scan is annotated."""

BACKGROUND = "background"
"""Segment that says nothing: uncoloured voxels are background only where something tells that they are annotated."""


class NothingAnnotated(ValueError):
    """Raised if nothing of a saved label counts as annotated; the message says what to draw."""


def annotation_from_segments(
    voxels: np.ndarray,
    affine: np.ndarray,
    *,
    segments: Mapping[int, str],
    labels: Mapping[int, str],
    requested: Mapping[str, int] | None,
    annotator: str,
) -> Annotation:
    """Tells which voxels of a saved label map are annotated, and with which class.

    Editors of segments such as 3D Slicer cannot paint the value 255, so what is annotated follows from what is drawn:

    - A label map that holds 255 is taken as it is: 0 background, 1..K classes, 255 not annotated.
    - If something is drawn with the segment "whole scan", every voxel is annotated. What is drawn with it is
      background.
    - If something is drawn with the segment "annotated background", the coloured voxels of the requested slices and of
      slices that are coloured throughout are annotated.
    - Otherwise the requested slices on which something is drawn are annotated as a whole.

    A brush with depth spills over the slice that it is used on, and so colours other requested slices near the line
    where they cross. Such a slice does not count as drawn on: coloured voxels must lie farther from all other requested
    slices than any voxel that the brush has spilled.

    Args:
        voxels: The saved label map ``[I, J, K]`` in the orientation of its file, whole numbers.
        affine: Affine of the file, 4x4, to millimetres.
        segments: Name of the segment with each voxel value from 1. Capital letters, underscores and spaces at the ends
            do not matter. A segment is a class of ``labels`` or one of "annotated background", "whole scan" and
            "background".
        labels: Name of each class 1..K.
        requested: For each view, the slice that was requested, as an index of the scan's RAS grid; None if none was.
        annotator: Name of the annotator, for the annotation.

    Returns:
        The annotation on the RAS grid. Its ``slices`` are the requested ones that are drawn on, and in other views the
        completely annotated slice closest to the request, or to the middle.

    Raises:
        NothingAnnotated: If nothing counts as annotated.
        ValueError: If a voxel value has no segment, a segment means nothing, a requested slice does not exist, or what
            is annotated lacks background or foreground.
    """
    array, ras_affine = to_ras(integer_labels(voxels, "the saved label"), affine)
    array = np.ascontiguousarray(array)
    requested = _checked(requested or {}, array.shape)
    if IGNORE_INDEX in array:
        if (array == IGNORE_INDEX).all():
            raise NothingAnnotated(_message(labels, requested, f"every voxel at {IGNORE_INDEX}"))
        check_values(array, labels, what="the saved label")
        return Annotation(array, ras_affine, complete_slices(array, requested), annotator)

    classes, background, whole = _meaning(array, segments, labels)
    if whole.any():
        check_values(classes, labels, what="the saved label")
        return Annotation(classes, ras_affine, None, annotator)

    coloured = background | (classes != 0)
    drawn = _drawn_on(coloured, requested, scan_spacing(ras_affine))
    if background.any():
        planes = _on_planes(array.shape, requested) | on_slices(array.shape, whole_slices(coloured))
        annotation = np.where(coloured & planes, classes, np.uint8(IGNORE_INDEX))
    else:
        annotation = cross_label(classes, drawn) if drawn else np.full_like(classes, IGNORE_INDEX)
    if (annotation == IGNORE_INDEX).all():
        found = "drawings on none of these slices" if coloured.any() else "nothing drawn"
        raise NothingAnnotated(_message(labels, requested, found))
    check_values(annotation, labels, what="the saved label")
    return Annotation(annotation, ras_affine, complete_slices(annotation, requested) | drawn, annotator)


def _meaning(
    array: np.ndarray, segments: Mapping[int, str], labels: Mapping[int, str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The classes ``[H, W, D]`` (0 where there is none), and where the two segments that tell what counts are drawn."""
    values = {_plain(name): value for value, name in labels.items()}
    classes = np.zeros_like(array)
    background, whole = np.zeros(array.shape, bool), np.zeros(array.shape, bool)
    for value in values_of(array):
        if value == 0:
            continue
        if value not in segments:
            named = ", ".join(f"{value} {name}" for value, name in segments.items())
            raise ValueError(f"the saved label: expected a segment for every voxel value ({named}), found {value}.")
        name, where = _plain(segments[value]), array == value
        if name in values:
            classes[where] = values[name]
        elif name == ANNOTATED_BACKGROUND:
            background |= where
        elif name == WHOLE_SCAN:
            whole |= where
        elif name != BACKGROUND:
            known = ", ".join([*labels.values(), ANNOTATED_BACKGROUND, WHOLE_SCAN])
            raise ValueError(
                f"the saved label: expected segments named {known}, found {segments[value]!r}; rename or delete it."
            )
    return classes, background, whole


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _checked(requested: Mapping[str, int], shape: tuple[int, ...]) -> dict[str, int]:
    for view, index in requested.items():
        if view not in VIEWS or not 0 <= index < shape[VIEWS[view]]:
            known = ", ".join(f"{view} 0..{shape[axis] - 1}" for view, axis in VIEWS.items())
            raise ValueError(f"requested slices must be some of {known}, got {view} {index}.")
    return dict(requested)


def _drawn_on(coloured: np.ndarray, requested: Mapping[str, int], spacing: tuple[float, ...]) -> dict[str, int]:
    """The requested slices on which something is drawn, rather than spilled from another requested slice."""
    reach = _reach(coloured, requested, spacing)
    drawn = {}
    for view, index in requested.items():
        others = {other: place for other, place in requested.items() if other != view}
        axis = VIEWS[view]
        on_it = np.insert(np.argwhere(coloured.take(index, axis=axis)), axis, index, axis=1)
        if (_distance(on_it, others, spacing) > reach + 1e-3).any():
            drawn[view] = index
    return drawn


def _reach(coloured: np.ndarray, requested: Mapping[str, int], spacing: tuple[float, ...]) -> float:
    """How far drawings on requested slices spill over, in millimetres; drawings elsewhere do not count as spilled."""
    on_planes = _on_planes(coloured.shape, requested)
    box = ndimage.find_objects((coloured & ~on_planes).view(np.uint8))
    if not box:
        return 0.0
    # Around the spilled voxels lie all voxels of the slices that they can be connected to.
    around = tuple(slice(max(it.start - 1, 0), it.stop + 1) for it in box[0])
    coloured, on_planes = coloured[around], on_planes[around]
    components, _ = ndimage.label(coloured, np.ones((3, 3, 3)))
    connected = np.isin(components, np.unique(components[on_planes & coloured]))
    places = np.argwhere(coloured & ~on_planes & connected) + [it.start for it in around]
    return float(_distance(places, requested, spacing).max(initial=0.0))


def _distance(places: np.ndarray, planes: Mapping[str, int], spacing: tuple[float, ...]) -> np.ndarray:
    """Distance in millimetres of voxels ``[N, 3]`` to the nearest of some slices; infinite if there are none."""
    distance = np.full(len(places), np.inf)
    for view, index in planes.items():
        axis = VIEWS[view]
        distance = np.minimum(distance, abs(places[:, axis] - index) * spacing[axis])
    return distance


def _on_planes(shape: tuple[int, ...], planes: Mapping[str, int]) -> np.ndarray:
    """Mask ``[H, W, D]`` of the voxels on one slice of each view."""
    return on_slices(shape, {view: [index] for view, index in planes.items()})


def _message(labels: Mapping[int, str], requested: Mapping[str, int], found: str) -> str:
    where = ", ".join(f"{view} {index}" for view, index in requested.items())
    slices = f"the requested slices ({where}, counted from 0 in RAS orientation)" if where else "whole slices"
    return (
        f"nothing counts as annotated: expected drawings of {class_names(labels)} on {slices}, found {found}. Draw "
        f"there; add a segment {ANNOTATED_BACKGROUND!r} for the voxels that you have looked at and that belong to no "
        f"class, or a segment {WHOLE_SCAN!r} with one stroke on the background if the whole scan is annotated."
    )
