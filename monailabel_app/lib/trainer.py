"""The bundle's training, on what is annotated so far and on the scans that are not."""

from __future__ import annotations

import logging
import os
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from common.files import read_json
from common.labelling import Training
from common.labelling.training import OWNED, STARTS
from lib.study import Study

logger = logging.getLogger(__name__)


class BundleTraining(TrainTask):
    """Trains in a process of its own; MONAI Label runs this class in one already, apart from the server.

    A request may have every setting of the bundle's ``train.json`` and ``start``: ``current`` for the current model,
    ``anew`` for random weights.

    Args:
        study: The study.
    """

    def __init__(self, study: Study) -> None:
        super().__init__(f"The training of {study.bundle.name}, from annotated scans and all others")
        self.study = study

    def config(self) -> dict[str, Any]:
        """The settings that a client shows."""
        return {"start": list(STARTS), **self.study.settings}

    def stats(self) -> dict[str, Any]:
        """Progress and losses of the last training."""
        last = Training.last(self.study.run)
        return {} if last is None else last.progress()

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Trains to the end; stops if the server has ended."""
        known = read_json(self.study.bundle / "configs" / "train.json")
        start = request.get("start", STARTS[0])
        given = {name: value for name, value in request.items() if name.split("#")[0] in known and name not in OWNED}
        if isinstance(given.get("device"), str):
            given["device"] = f"$torch.device({given['device']!r})"
        if ignored := sorted(set(request) - set(given) - {"model", "start"}):
            logger.info("No settings of %s, and not heeded: %s.", self.study.bundle.name, ", ".join(ignored))
        training = Training.begin(
            self.study.run,
            bundle=self.study.bundle,
            images=self.study.images,
            labels=self.study.labels,
            start=start[0] if isinstance(start, list) else start,
            overlay=self.study.overlay,
            settings=self.study.settings | given,
        )
        server = os.getppid()
        training.run(self.study.run, wanted=lambda: os.getppid() == server, tell=lambda text: print(text, flush=True))
        return training.progress()
