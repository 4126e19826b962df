"""What the app knows of the study that it labels, and what it does with it by `common.labelling`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.annotations import AnnotationStore, Ledger, annotation_from_segments, submit_annotation
from common.annotations.folder import slice_request
from common.annotations.segments import ANNOTATED_BACKGROUND
from common.checks import check_one_of, yes_or_no
from common.cohort.cohort import Scan
from common.cohort.volumes import integer_labels, open_nifti, read_voxels, spacing, to_ras
from common.commands.bundles import find_bundle
from common.files import NIFTI_SUFFIXES, read_json, scan_name
from common.generalists import Generalist, open_generalist
from common.labelling import (
    Request,
    Requests,
    Scores,
    Specialist,
    Training,
    prompted_mask,
    round_number,
    score_scans,
)
from common.labelling.next_scan import Choice, next_scan
from common.labelling.prompted import Plane
from common.labelling.requested import all_views
from common.labelling.scores import usable_strategies
from common.labelling.specialist import class_names
from common.labelling.training import learnt_from

logger = logging.getLogger(__name__)


DEFAULTS = {
    "models": "fmabs_la",
    "run": "",
    "labels": "",
    "config": "ours",
    "max_iterations": "1000",
    "generalist": "embedded",
    "predraw": "true",
    "seed": "0",
    "device": "",
}
"""The settings of the app (``--conf NAME VALUE``) and their defaults."""


@dataclass(frozen=True)
class Study:
    """A study, the bundle that segments it, and the run folder in which the two meet.

    Attributes:
        folder: Folder of the study's images.
        bundle: Folder of the bundle (``models``).
        run: Folder of the run (``run``); by default ``runs/BUNDLE`` in the study's folder.
        labels: Name of each class 1..K (``labels``, separated by commas); by default the bundle's own.
        overlay: Config of the bundle on top of ``train.json`` (``config``): ``ours``, or ``train`` for none.
        settings: Usual settings of trainings (``max_iterations``, ``seed``).
        generalist_name: See :func:`common.generalists.open_generalist` (``generalist``).
        predraw: Whether requested slices start from the model's prediction, rather than blank (``predraw``).
        seed: Seed of strategies that leave something to chance (``seed``).
        device: Device that models run on (``device``); by default a GPU if there is one.
    """

    folder: Path
    bundle: Path
    run: Path
    labels: dict[int, str]
    overlay: str = "ours"
    settings: dict[str, Any] = field(default_factory=dict)
    generalist_name: str = "embedded"
    predraw: bool = True
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @classmethod
    def from_conf(cls, studies: str, conf: Mapping[str, str]) -> Study:
        """Reads the settings.

        Raises:
            ValueError: If a setting is unknown or makes no sense, or the study is no folder.
        """
        if "://" in studies:
            raise ValueError(f"studies: expected a folder of NIfTI images, got the address {studies}.")
        for name in conf:
            check_one_of("--conf", name, DEFAULTS)
        given = DEFAULTS | dict(conf)
        check_one_of("config", given["config"], ("ours", "train"))
        folder, bundle = Path(studies).resolve(), find_bundle(given["models"]).resolve()
        names = [name.strip() for name in given["labels"].split(",") if name.strip()]
        device = given["device"] or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(
            folder=folder,
            bundle=bundle,
            run=Path(given["run"]).resolve() if given["run"] else folder / "runs" / bundle.name,
            labels=dict(enumerate(names, start=1)) if names else class_names(bundle),
            overlay=given["config"],
            settings={"max_iterations": int(given["max_iterations"]), "seed": int(given["seed"])},
            generalist_name=given["generalist"],
            predraw=yes_or_no("predraw", given["predraw"]),
            seed=int(given["seed"]),
            device=torch.device(device),
        )

    @property
    def segments(self) -> list[str]:
        """Names of the segments that annotators draw, in the order of their values from 1."""
        return [*self.labels.values(), ANNOTATED_BACKGROUND]

    @property
    def images(self) -> dict[str, Path]:
        """Image of each scan by its id, in order."""
        files = sorted(path for path in self.folder.iterdir() if path.name.endswith(NIFTI_SUFFIXES))
        return {scan_name(path): path for path in files if not path.name.startswith(".")}

    @property
    def ledger(self) -> Ledger:
        """The ledger of the run, as it is now."""
        return Ledger(self.run / "ledger.json")

    @cached_property
    def requests(self) -> Requests:
        """What is asked of the annotators."""
        return Requests(self.run)

    @cached_property
    def specialist(self) -> Specialist:
        """The model."""
        return Specialist(self.bundle, self.run, labels=self.labels, device=self.device)

    @cached_property
    def generalist(self) -> Generalist:
        """The promptable model, opened when it is used first."""
        cache = None if self.generalist_name == "embedded" else self.run / "embeddings"
        return open_generalist(self.generalist_name, self.device, embedding_cache=cache)

    @cached_property
    def strategies(self) -> list[str]:
        """Names of the query strategies, the bundle's own first."""
        own = read_json(self.bundle / "configs" / "train.json").get("query")
        return sorted(usable_strategies(), key=lambda name: (name != own, name))

    def score(self) -> Scores:
        """Scores all scans that the current model has not scored; see :func:`common.labelling.score_scans`."""
        images = self.images
        progress = min(self.ledger.budget_used / max(len(images), 1), 1.0)
        return score_scans(self.specialist, images, self.run / "scores.json", progress=progress)

    def ask(self, strategy: str) -> tuple[Choice, Request] | None:
        """Chooses the scan to annotate next, and records what is asked; None if there is none left."""
        scores, why = None, ""
        if usable_strategies()[strategy].needs_predictions:
            try:
                scores = self.score()
            except FileNotFoundError:
                why = "there is no model yet to score scans with"
            except ValueError as error:
                why = f"the model cannot be used ({error})"
        else:
            scores = Scores.read(self.run / "scores.json")
        images = self.images
        choice = next_scan(
            strategy,
            list(images),
            labelled=set(self.ledger.labelled),
            scores=scores,
            why_unscored=why,
            seed=self.seed,
        )
        if choice is None:
            return None
        slices = all_views(choice.slices, self._ras_shape(images[choice.scan]))
        request = Request(slices, choice.strategy, choice.score, choice.reason)
        self.requests.put(choice.scan, request)
        return choice, request

    def requested(self, scan: str, image: Path, suggested: Mapping[str, int]) -> Request:
        """What was asked for a scan; if nothing was, for it was opened by hand, these slices are asked for now."""
        request = self.requests.get(scan)
        if request is None:
            request = Request(all_views(suggested, self._ras_shape(image)))
            if scan in self.images:
                self.requests.put(scan, request)
        return request

    def embed(self, image: Path, slices: Mapping[str, int]) -> None:
        """Lets a SAM embed the requested slices of a scan, in a thread, so that a first point there need not wait."""
        if self.generalist_name == "embedded":
            return

        def work() -> None:
            voxels, opened = read_voxels(image)
            found = [slice_request(view, index, voxels.shape, opened.affine) for view, index in slices.items()]
            box = [0, 0, voxels.shape[0], voxels.shape[1], 0, voxels.shape[2]]
            planes = [Plane(it.file_axis, it.file_index) for it in found]
            prompted_mask(self.generalist, np.asarray(voxels, np.float32), spacing(opened.affine), planes, box=box)

        threading.Thread(target=work, daemon=True).start()

    def submit(self, scan: str, label: Path, info: Mapping[str, Any]) -> dict[str, Any]:
        """Takes in a label that an annotator has saved.

        Args:
            scan: Id of the scan.
            label: NIfTI file of the label.
            info: What the client says of it; ``label_info`` lists its segments in the order of their values.

        Returns:
            What has become of it, for the reply.

        Raises:
            NothingAnnotated: If nothing in it counts as annotated.
            ValueError: If it is damaged, on another grid than the image, or has values that mean nothing.
        """
        voxels, opened = read_voxels(label)
        listed = info.get("label_info")
        names = [str(segment["name"]) for segment in listed] if listed else self.segments
        request = self.requests.get(scan) or Request({})
        annotation = annotation_from_segments(
            integer_labels(voxels, label),
            opened.affine,
            segments=dict(enumerate(names, start=1)),
            labels=self.labels,
            requested=request.slices or None,
            annotator="monai_label",
        )
        ledger = self.ledger
        outcome = submit_annotation(
            Scan(scan, self.images[scan]),
            annotation,
            ledger=ledger,
            store=AnnotationStore(self.run),
            strategy=request.strategy,
            score=request.score,
            round=round_number(ledger.entries, learnt_from(self.run)),
        )
        return {"annotation": outcome, "voxels": annotation.voxels, "slices": annotation.slices}

    def publish(self) -> None:
        """Puts the model of a training in place that ended when nobody could do it."""
        last = Training.last(self.run)
        if last is not None and last.publish(self.run):
            logger.info("The model of %s is used from now on.", last.folder)

    def _ras_shape(self, image: Path) -> tuple[int, ...]:
        opened = open_nifti(image)
        return to_ras(_empty(opened.shape[:3]), opened.affine)[0].shape


def _empty(shape: tuple[int, ...]) -> Any:
    return torch.zeros(1, dtype=torch.bool).expand(*shape).numpy()
