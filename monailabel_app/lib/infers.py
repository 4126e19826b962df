"""The models that annotators use: the slices to annotate, the whole scan, and masks of what they point at."""

from __future__ import annotations

import logging
import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from common.annotations import middle_slices
from common.annotations.folder import slice_request
from common.annotations.segments import ANNOTATED_BACKGROUND
from common.cohort.volumes import VIEWS, open_nifti, read_voxels, spacing, to_ras
from common.files import scan_name, write_nifti
from common.labelling import predrawn, prompted_mask
from common.labelling.prompted import Plane
from lib.study import Study

logger = logging.getLogger(__name__)


class StudyInfer(InferTask):
    """Base of the models: a label map on the image's own grid, as a file.

    Args:
        study: The study.
        names: Name of the label of each value.
        kind: MONAI Label's type of the model.
        dimension: Dimension of the model, 2 or 3.
        description: What it does, for the client.
    """

    def __init__(self, study: Study, names: dict[str, int], *, kind: str, dimension: int, description: str) -> None:
        super().__init__(type=kind, labels=names, dimension=dimension, description=description)
        self.study = study

    def is_valid(self) -> bool:
        """True: a model without weights is listed too, and says what it lacks."""
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Makes the label of ``request["image"]``; gives its file and what is to be known of it."""
        if not request.get("image"):
            raise FileNotFoundError("image: no image of this study has this id.")
        image = Path(request["image"])
        label, told = self.label(image, request)
        opened = open_nifti(image)
        handle, name = tempfile.mkstemp(suffix=".nii.gz")
        os.close(handle)
        header = opened.header.copy()
        header.set_data_dtype(np.uint8)
        header.set_data_shape(label.shape)
        write_nifti(name, label, opened.affine, header)
        # Slicer gives the values that it finds, in order, the names that are listed here.
        present = {name: value for name, value in self.labels.items() if (label == value).any()}
        return name, {"label_names": present, **told}

    def label(self, image: Path, request: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """The label map, uint8 on the grid of the image's file, and what the reply says of it."""
        raise NotImplementedError


class DenseLabel(StudyInfer):
    """The specialist's label of the whole scan."""

    def __init__(self, study: Study) -> None:
        names = {name: value for value, name in study.labels.items()}
        about = f"The whole scan, by the newest model of {study.bundle.name}"
        super().__init__(study, names, kind=InferType.SEGMENTATION, dimension=3, description=about)

    def label(self, image: Path, request: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """See the base class."""
        return self.study.specialist.predict(image).label, {"model_file": str(self.study.specialist.file)}


class CrossLabel(StudyInfer):
    """The slices to annotate, pre-drawn by the specialist or blank, and nothing elsewhere."""

    def __init__(self, study: Study) -> None:
        names = {name: value for value, name in enumerate(study.segments, start=1)}
        about = f"The slices to annotate; what is not of a class is `{ANNOTATED_BACKGROUND}`"
        super().__init__(study, names, kind=InferType.SEGMENTATION, dimension=3, description=about)

    def label(self, image: Path, request: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """See the base class."""
        study, opened, prediction, note = self.study, open_nifti(image), None, ""
        if study.predraw or study.requests.get(scan_name(image)) is None:
            try:
                prediction = study.specialist.predict(image).label
            except (FileNotFoundError, ValueError) as error:
                note = f"No prediction to start from: {error}"
        found = prediction is not None and prediction.any()
        middle = middle_slices(to_ras(prediction, opened.affine)[0]) if prediction is not None and found else {}
        wanted = study.requested(scan_name(image), image, middle)
        study.embed(image, wanted.slices)
        drawn = predrawn(
            opened.shape[:3],
            opened.affine,
            wanted.slices,
            background=len(study.segments),
            prediction=prediction if study.predraw else None,
        )
        return drawn, {"slices": wanted.slices, "reason": wanted.reason, **({"note": note} if note else {})}


class PromptedLabel(StudyInfer):
    """An object that the annotator points at, by the generalist.

    A request has points ``foreground`` and ``background`` (i, j, k) or a box ``roi``, (i0, j0, i1, j1, k0, k1) or, on
    one slice, (i0, j0, i1, j1), all in voxels of the image's file. In 2D they mark the object on one slice: ``slice``
    along the file's k axis, or that of the first point; ``view`` names another view. In 3D they mark it on the
    requested slices that they meet.

    Args:
        study: The study.
        dimension: 2 for one slice, 3 for the requested slices.
    """

    def __init__(self, study: Study, *, dimension: int) -> None:
        what = "on one slice" if dimension == 2 else "on the three requested slices"
        about = f"What points or a box mark {what}, by the generalist {study.generalist_name}"
        super().__init__(study, {}, kind=InferType.DEEPGROW, dimension=dimension, description=about)

    def label(self, image: Path, request: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """See the base class."""
        inside, outside = (list(request.get(name) or []) for name in ("foreground", "background"))
        box = list(request.get("roi") or [])
        if not inside and not box:
            raise ValueError("expected a point inside the object (foreground) or a box (roi), got neither.")
        voxels, affine = _volume(image, image.stat().st_mtime_ns)
        if self.dimension == 2:
            planes = [self._plane(request, inside, box, affine, voxels.shape)]
            if len(box) == 4:
                first, last = planes[0].index, planes[0].index + 1
                if planes[0].axis != 2:
                    raise ValueError("roi must be (i0, j0, i1, j1, k0, k1) in this view, got four numbers.")
                box += [first, last]
        else:
            planes = self._requested(image, inside, box, affine, voxels.shape)
        mask = prompted_mask(
            self.study.generalist,
            voxels,
            spacing(affine).tolist(),
            planes,
            foreground=inside,
            background=outside,
            box=box or None,
        )
        return mask, {"slices": [vars(plane) for plane in planes], "label_names": {request.get("label", "object"): 1}}

    def _plane(self, request: dict[str, Any], inside: list, box: list, affine: np.ndarray, shape: tuple) -> Plane:
        axis = 2
        if view := request.get("view"):
            if view not in VIEWS:
                raise ValueError(f"view must be one of {', '.join(VIEWS)}, got {view!r}.")
            axis = slice_request(view, 0, shape, affine).file_axis
        index = request.get("slice")
        if index is None or int(index) < 0:
            if inside:
                index = round(float(inside[0][axis]))
            elif len(box) == 6:
                low, high = ((box[0], box[2]), (box[1], box[3]), (box[4], box[5]))[axis]
                index = (int(low) + int(high) - 1) // 2
            else:
                raise ValueError("slice must say which slice a box of four numbers lies on, got none.")
        if not 0 <= int(index) < shape[axis]:
            raise ValueError(f"slice must lie in 0..{shape[axis] - 1}, got {index}.")
        return Plane(axis, int(index))

    def _requested(self, image: Path, inside: list, box: list, affine: np.ndarray, shape: tuple) -> list[Plane]:
        """The requested slices; those through the first point, or the middle of the box, if none are requested."""
        asked = self.study.requests.get(scan_name(image))
        if asked is not None:
            found = [slice_request(view, index, shape, affine) for view, index in asked.slices.items()]
            return [Plane(it.file_axis, it.file_index) for it in found]
        if not inside and len(box) != 6:
            raise ValueError("roi must be (i0, j0, i1, j1, k0, k1) in 3D, got another number of values.")
        middle = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, (box[4] + box[5]) / 2] if not inside else inside[0]
        return [Plane(axis, int(middle[axis])) for axis in range(3)]


@lru_cache(maxsize=2)
def _volume(image: Path, changed: int) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and affine of an image; the last two are kept, since an annotator points at one scan again and again."""
    voxels, opened = read_voxels(image)
    return np.asarray(voxels, np.float32), opened.affine
