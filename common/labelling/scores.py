"""What all query strategies need to know of a study's scans, measured in one pass and kept until the model changes."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from common.annotations.cross_label import middle_slices
from common.cohort.check import image_problems
from common.cohort.volumes import to_ras
from common.files import read_json, write_json
from common.labelling.specialist import Specialist
from common.query import STRATEGIES, Strategy

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScanScores:
    """What is known of one scan.

    Attributes:
        image: Time of the last change (ns) and size (bytes) of the image's file.
        measures: By strategy, the numbers that :meth:`common.query.Strategy.assess` gave.
        slices: Slice of each view through the middle of what is predicted, on the scan's RAS grid; empty if nothing is.
        features: The scan's feature vector, for strategies that need features; empty if the network has none to give.
        problem: What is wrong with the scan, so that it cannot be scored; empty if nothing is.
    """

    image: tuple[int, int]
    measures: dict[str, dict[str, float]] = field(default_factory=dict)
    slices: dict[str, int] = field(default_factory=dict)
    features: tuple[float, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Scores:
    """The scores of a study's scans.

    Attributes:
        model: :attr:`Specialist.identity` of the model that they come from; empty if there is none.
        progress: Share of the study that was annotated when the first scan was scored, 0 to 1.
        scans: What is known of each scan, by its id.
    """

    model: str = ""
    progress: float = 0.0
    scans: dict[str, ScanScores] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path) -> Scores:
        """Reads what :func:`score_scans` has kept; a missing or damaged file counts as empty, for it is a cache."""
        try:
            content = read_json(path)
            scans = {
                scan: ScanScores(**one | {"image": tuple(one["image"]), "features": tuple(one["features"])})
                for scan, one in content.pop("scans").items()
            }
            return cls(scans=scans, **content)
        except FileNotFoundError:
            return cls()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            logger.warning("%s: expected the scores of a study, found something else (%s); scoring again.", path, error)
            return cls()

    def write(self, path: str | Path) -> None:
        """Keeps the scores in a file, atomically."""
        write_json(path, asdict(self))

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong with scans that cannot be scored, by their ids."""
        return {scan: known.problem for scan, known in self.scans.items() if known.problem}


def usable_strategies() -> dict[str, Strategy]:
    """The strategies that choose among scans in rounds, by name, with their usual settings."""
    return {name: kind() for name, kind in STRATEGIES.items() if not kind.needs_adaptation}


def score_scans(
    specialist: Specialist, images: Mapping[str, Path], path: str | Path, *, progress: float = 0.0
) -> Scores:
    """Scores the scans that are not scored yet with the current model, all strategies in one pass.

    What was scored before with the same model is kept; each scan is kept as soon as it is scored, so that nothing is
    lost if the pass is interrupted. A second process that is asked for the same waits for the first.

    Args:
        specialist: The model.
        images: Image of each scan, by its id.
        path: File that keeps the scores.
        progress: Share of the study that is annotated, 0 to 1, as some strategies go by the progress of the training.

    Returns:
        The scores of these scans. A scan that is broken, or has a score that is not finite, has a `problem` instead.

    Raises:
        FileNotFoundError, ValueError: If there is no model, or it is not one of this study.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        model = specialist.identity
        known = Scores.read(path)
        if known.model != model:
            known = Scores(model, progress)
        states = {scan: _state(image) for scan, image in images.items()}
        scans = {scan: it for scan, it in known.scans.items() if states.get(scan) == it.image}
        missing = [scan for scan in images if scan not in scans]
        for number, scan in enumerate(missing, start=1):
            scans[scan] = _score(specialist, images[scan], states[scan], known.progress)
            logger.info("scored %s (%d of %d) %s", scan, number, len(missing), scans[scan].problem)
            Scores(model, known.progress, scans).write(path)
        return Scores(model, known.progress, scans)


def _state(image: Path) -> tuple[int, int]:
    try:
        status = image.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _score(specialist: Specialist, image: Path, state: tuple[int, int], progress: float) -> ScanScores:
    try:
        if wrong := image_problems(image, channels=specialist.channels):
            return ScanScores(state, problem="; ".join(wrong))
        predicted = specialist.predict(image)
        strategies = {
            name: strategy
            for name, strategy in usable_strategies().items()
            if not strategy.needs_features or predicted.prediction.features is not None
        }
        measures: dict[str, Any] = {
            name: strategy.assess(predicted.prediction, progress=progress) for name, strategy in strategies.items()
        }
        features = () if predicted.prediction.features is None else predicted.prediction.pooled.cpu().tolist()
    except (OSError, RuntimeError, ValueError) as error:
        return ScanScores(state, problem=f"{image}: {error}")
    wrong = [f"{name} ({it})" for name, numbers in measures.items() for it in numbers.values() if not math.isfinite(it)]
    if wrong or not all(map(math.isfinite, features)):
        return ScanScores(state, problem=f"{image}: expected finite scores, found others: {', '.join(wrong)}.")
    label, _ = to_ras(predicted.label, predicted.affine)
    return ScanScores(state, measures, middle_slices(label) if label.any() else {}, tuple(features))
