"""How uncertain a model's predictions are, and whether its confidence can be relied on."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import ignite.distributed as idist
import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from torch import Tensor

from common.files import write_json
from common.metrics.scan_metrics import scan_ids
from common.query import normalised_entropy

FILE = "uncertainty.json"

BINS = 10
"""Number of ranges of confidence, equally wide from 1/C (all C classes alike) to 1."""

BORDER = 2
"""Voxels around the predicted objects that are looked at too."""


def predicted_region(probabilities: Tensor, *, border: int = BORDER) -> Tensor:
    """Finds the voxels that are predicted as foreground, and those near them.

    Args:
        probabilities: ``[C, H, W, D]``, summing to 1 over C; class 0 is the background.
        border: Largest distance along each axis, in voxels, at which a voxel is near.

    Returns:
        The region, bool ``[H, W, D]``; empty if no foreground is predicted.
    """
    near = (probabilities.argmax(dim=0) != 0)[None, None].float()
    for axis in range(3):  # a cube's maximum is that of lines along one axis after the other, at a fraction of the time
        padding = [border if axis == other else 0 for other in range(3)]
        near = F.max_pool3d(near, kernel_size=[2 * side + 1 for side in padding], stride=1, padding=padding)
    return near[0, 0] > 0


def mean_entropy(probabilities: Tensor, region: Tensor) -> float:
    """Averages the normalised entropy ``-Σ p·log p / log C`` over a region.

    Args:
        probabilities: ``[C, H, W, D]``, summing to 1 over C.
        region: Bool ``[H, W, D]``.

    Returns:
        The mean, 0 (certain) to 1; NaN if the region is empty.
    """
    return normalised_entropy(probabilities)[region].mean(dtype=torch.float64).item()


def reliability(probabilities: Tensor, label: Tensor, region: Tensor) -> Tensor:
    """Counts how often predictions of each confidence, the probability of the likeliest class, are right.

    Args:
        probabilities: ``[C, H, W, D]``, summing to 1 over C.
        label: The right classes ``[H, W, D]``; voxels of 255 are left out.
        region: Voxels that are counted, bool ``[H, W, D]``.

    Returns:
        Float64 ``[3, BINS]``: number of voxels, sum of their confidence, and number of the right ones, per range of
        confidence.
    """
    counted = region & (label != 255)
    confidence, found = probabilities.float().max(dim=0)
    confidence, right = confidence[counted].double(), (found == label)[counted].double()
    least = 1 / probabilities.shape[0]
    place = ((confidence - least) / (1 - least) * BINS).long().clamp(0, BINS - 1)
    rows = [torch.bincount(place, weights=row, minlength=BINS) for row in (torch.ones_like(right), confidence, right)]
    return torch.stack(rows)


class PredictionUncertainty:
    """Measures how uncertain the prediction of each scan is, and writes ``uncertainty.json`` at the end.

    The uncertainty of a scan is the mean normalised entropy of its probabilities over the voxels that are predicted as
    foreground and those at most two voxels away: the background far off, which is most of a scan and nearly certain,
    does not count. It is ``null`` for a scan of which nothing is predicted. Where there are labels, the file also says
    in ``reliability`` how often predictions of each confidence are right, over the same voxels of all scans: for each
    of ten ranges, the number of ``voxels``, their mean ``confidence`` and their ``accuracy``. No label is needed for
    the uncertainty itself.

    The engine's predictions must be probabilities before its postprocessing, as those of
    :class:`common.engines.ProbabilityInferer` are. With several processes, their scans are put together, and the first
    process writes the file.

    Args:
        output_dir: Folder that the file is written to.
        scan_transform: Takes the id of each scan from ``engine.state.batch`` after postprocessing. By default each
            item's ``scan``, or the name of the image's file where there is none.
    """

    def __init__(self, output_dir: str | Path, *, scan_transform: Callable[[Any], Sequence[str]] = scan_ids) -> None:
        self.output_dir = Path(output_dir)
        self.scan_transform = scan_transform
        self.uncertainty: dict[str, float] = {}
        self.counts: dict[str, Tensor] = {}
        self._measured: list[tuple[float, Tensor | None]] = []

    def attach(self, engine: Engine) -> None:
        """Registers the handler: it measures before the postprocessing and writes when the engine has completed."""
        engine.add_event_handler(Events.STARTED, self.reset)
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self.measure)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.update)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def reset(self) -> None:
        """Forgets all scans."""
        self.uncertainty, self.counts = {}, {}

    @torch.no_grad()
    def measure(self, engine: Any) -> None:
        """Measures the predictions of one iteration, ``[B, C, H, W, D]``."""
        predictions = torch.as_tensor(engine.state.output["pred"])
        labels = engine.state.output.get("label")
        self._measured = []
        for index, probabilities in enumerate(predictions):
            region = predicted_region(probabilities)
            counts = None if labels is None else reliability(probabilities, torch.as_tensor(labels[index, 0]), region)
            self._measured.append((mean_entropy(probabilities, region), None if counts is None else counts.cpu()))

    def update(self, engine: Engine) -> None:
        """Keeps what was measured under the scans' ids."""
        for scan, (uncertainty, counts) in zip(self.scan_transform(engine.state.batch), self._measured, strict=True):
            self.uncertainty[scan] = uncertainty
            if counts is not None:
                self.counts[scan] = counts

    def write(self, engine: Engine) -> None:
        """Writes the file."""
        found = ChainMap(*cast(list[dict[str, float]], idist.all_gather(self.uncertainty)))
        counts = ChainMap(*cast(list[dict[str, Tensor]], idist.all_gather(self.counts)))
        if idist.get_rank() == 0:
            scans = {scan: None if math.isnan(number) else number for scan, number in sorted(found.items())}
            write_json(self.output_dir / FILE, {"scans": scans, "reliability": _rows(list(counts.values()))})


def _rows(counts: list[Tensor]) -> list[dict[str, float]]:
    if not counts:
        return []
    ranges = torch.stack(counts).sum(dim=0).T.tolist()
    return [
        {"voxels": int(voxels), "confidence": confidence / voxels, "accuracy": right / voxels}
        for voxels, confidence, right in ranges
        if voxels
    ]
