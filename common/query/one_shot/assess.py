"""The pass over the pool in which a query before training assesses every scan."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch
from monai.data import Dataset, MetaTensor, dense_patch_slices
from torch import Tensor, nn

from common.engines.bottleneck import BottleneckInferer
from common.engines.scans import each_scan
from common.files import digest, read_checkpoint, replacing
from common.query.divergence import adapt_normalisation, adaptable
from common.query.prediction import Prediction
from common.query.strategy import Strategy

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assessment:
    """What a query keeps of a scan.

    Attributes:
        numbers: By name, what the strategy measured.
        features: The scan's pooled features ``[2F]``, on the CPU; see :func:`common.query.pooled_features`.
        foreground: Number of voxels that are predicted as foreground.
    """

    numbers: dict[str, float]
    features: Tensor
    foreground: int


UNSEEN = Assessment({"score": 0.0}, torch.zeros(0), foreground=0)
"""Every scan's assessment by a strategy that need not look at any."""


class PoolAssessment:
    """Assesses every scan of a pool and keeps the results on disk, so that an interrupted pass can resume.

    For each scan, unless the strategy need not look at it: a pass of inference and, if the strategy needs it, a few
    steps that adapt a copy of the network's normalisation layers to some of its windows
    (:func:`common.query.adapt_normalisation`), and a pass with that copy. One scan is in memory at a time.
    Our choice is to adapt on some of the windows only, those in which most foreground is predicted. A network without
    anything to adapt is taken for its own adapted copy.

    Args:
        dataset: The pool: items with ``scan`` (the id) and ``image`` ``[channels, H, W, D]``.
        network: The pre-trained model.
        strategy: The strategy, which decides what is measured.
        inferer: Inferer that gives probabilities and features.
        folder: Folder that gets one file per scan.
        device: Device on which to run.
        window_share: Share of a scan's windows that the copy is adapted on; at least one window is used.
        max_windows: Most windows that the copy is adapted on, since they go through the network at once.
        steps: Steps of adaptation.
        learning_rate: Learning rate of the adaptation.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: If ``window_share`` or ``max_windows`` is out of its range.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        network: nn.Module,
        strategy: Strategy,
        inferer: BottleneckInferer,
        folder: str | Path,
        device: torch.device | str,
        window_share: float = 0.15,
        max_windows: int = 4,
        steps: int = 2,
        learning_rate: float = 1e-3,
        progress: bool = True,
    ) -> None:
        if not 0 < window_share <= 1:
            raise ValueError(f"window_share must lie in (0, 1], got {window_share}.")
        if max_windows < 1:
            raise ValueError(f"max_windows must be at least 1, got {max_windows}.")
        self.dataset = dataset
        self.network = network
        self.strategy = strategy
        self.inferer = inferer
        self.folder = Path(folder)
        self.device = torch.device(device)
        self.window_share = window_share
        self.max_windows = max_windows
        self.steps = steps
        self.learning_rate = learning_rate
        self.progress = progress

    def run(self) -> dict[str, Assessment]:
        """Assesses the scans that have not been assessed yet; gives the assessment of each scan."""
        if not self.strategy.needs_predictions:
            return {item["scan"]: UNSEEN for item in self.dataset.data}
        settings = {
            "strategy": [self.strategy.name, self.strategy.assessed_with],
            "roi_size": self.inferer.window,
            "overlap": list(self.inferer.overlaps),
            "feature_layer": self.inferer.feature_layer,
            "adaptation": [self.window_share, self.max_windows, self.steps, self.learning_rate],
            "precision": self.inferer.precision,
        }
        model = digest(json.dumps(settings, sort_keys=True, default=vars), *self.network.state_dict().values())
        found = {}
        for scan, image in each_scan(
            self.dataset, self.network, self.device, what="query: pool", progress=self.progress
        ):
            path = self.folder / f"{scan}.pt"
            made_by = digest(model, image)
            kept = _kept(path, made_by)
            if kept is None:
                kept = self.assess(image)
                with replacing(path) as temporary:
                    torch.save({"made_by": made_by, **asdict(kept)}, temporary)
            found[scan] = kept
        _warn(list(found.values()))
        return found

    def assess(self, image: Tensor) -> Assessment:
        """Assesses one scan, given its image ``[channels, H, W, D]``."""
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        inputs = plain[None].float().to(self.device)
        before = self._predict(inputs, self.network)
        adapted = self._adapted(inputs, before) if self.strategy.needs_adaptation else None
        numbers = self.strategy.assess(before, adapted=adapted)
        return Assessment(numbers, before.pooled.cpu(), int(before.foreground.sum()))

    def _adapted(self, inputs: Tensor, before: Prediction) -> Prediction:
        if not self._adaptable:
            return before
        windows = self._windows(inputs[0], 1 - before.probabilities[0])
        adapted = adapt_normalisation(self.network, windows, steps=self.steps, learning_rate=self.learning_rate)
        return self._predict(inputs, adapted)

    @cached_property
    def _adaptable(self) -> bool:
        found = adaptable(self.network)
        if not found:
            logger.warning(
                "NOTHING TO ADAPT: no normalisation layer of the %s has running statistics or affine parameters. Every "
                "scan's divergence is 0, and does not count in the choice.",
                type(self.network).__name__,
            )
        return found

    def _predict(self, inputs: Tensor, network: nn.Module) -> Prediction:
        probabilities, features = self.inferer.with_features(inputs, network)
        return Prediction(probabilities[0], features[0])

    def _windows(self, image: Tensor, foreground: Tensor) -> Tensor:
        """The windows of an image in which most foreground is predicted, ``[N, channels, h, w, d]``."""
        roi = self.inferer.window
        pads = [max(size - side, 0) for size, side in zip(roi, image.shape[1:], strict=True)]
        edges = [edge for pad in reversed(pads) for edge in (pad // 2, pad - pad // 2)]
        image, foreground = (nn.functional.pad(it, edges) for it in (image, foreground))
        intervals = [
            size if size == side else max(int(size * (1 - share)), 1)
            for size, side, share in zip(roi, image.shape[1:], self.inferer.overlaps, strict=True)
        ]
        places = dense_patch_slices(image.shape[1:], roi, intervals)
        number = min(max(1, int(self.window_share * len(places))), self.max_windows)
        shares = torch.stack([foreground[place].mean() for place in places])
        best = shares.sort(descending=True, stable=True).indices[:number].tolist()
        windows = [(slice(None), *places[index]) for index in best]
        return torch.stack([image[window] for window in windows])


def _warn(found: Sequence[Assessment]) -> None:
    """Warns if the model tells a query little or nothing."""
    if found and not any(it.foreground for it in found):
        logger.warning(
            "NO FOREGROUND IS PREDICTED in any of %d scans: the model tells little about them. Do the scans look like "
            "those that it was trained on?",
            len(found),
        )
    if len(found) > 1 and all(_alike(it, found[0]) for it in found):
        logger.warning("ALL %d SCANS ARE ALIKE to the model: only names or chance are left to choose by.", len(found))


def _alike(one: Assessment, other: Assessment) -> bool:
    same = all(math.isclose(number, other.numbers[name], rel_tol=1e-6) for name, number in one.numbers.items())
    return same and torch.allclose(one.features, other.features, rtol=1e-6)


def _kept(path: Path, made_by: str) -> Assessment | None:
    """The assessment of the same image by the same model with the same settings, if there is one."""
    if not path.is_file():
        return None
    try:
        content = read_checkpoint(path, expected="an assessment", found="a damaged file")
    except ValueError:
        logger.warning("%s cannot be read; the scan is assessed again.", path)
        return None
    if not isinstance(content, dict) or content.pop("made_by", None) != made_by:
        return None
    return Assessment(**content)
