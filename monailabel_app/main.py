"""The MONAI Label app of this project: one of its bundles labels a study together with people.

``nox -s label -- --studies DIR`` installs what it needs and starts it; ``docs/monai_label.md`` is the guide.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import torch
from fastapi import HTTPException

HERE = Path(__file__).resolve().parent
for folder in (str(HERE), str(HERE.parent)):
    if folder not in sys.path:
        sys.path.append(folder)

from lib.datastore import StudyDatastore  # noqa: E402
from lib.infers import CrossLabel, DenseLabel, PromptedLabel  # noqa: E402
from lib.queries import NextScan, PoolScores  # noqa: E402
from lib.study import Study  # noqa: E402
from lib.trainer import BundleTraining  # noqa: E402
from monailabel.interfaces.app import MONAILabelApp  # noqa: E402

from common import __version__  # noqa: E402
from common.annotations import NothingAnnotated  # noqa: E402

logger = logging.getLogger(__name__)


class MyApp(MONAILabelApp):
    """Serves one bundle for one study; see :class:`lib.study.Study` for the settings (``--conf NAME VALUE``)."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.study = Study.from_conf(studies, conf)
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name=f"Label-efficient segmentation: {self.study.bundle.name}",
            description="A bundle's model, query strategies and training, with a promptable generalist",
            version=__version__,
            labels=self.study.segments,
        )
        self.study.publish()

    def init_datastore(self) -> StudyDatastore:
        """The study's folder, whose labels are saved whole or not at all."""
        return StudyDatastore(self.studies)

    def init_infers(self) -> dict[str, Any]:
        """``cross_label`` comes first: Slicer pre-draws each next scan with the first model that has its labels."""
        return {
            "cross_label": CrossLabel(self.study),
            self.study.bundle.name: DenseLabel(self.study),
            "generalist_2d": PromptedLabel(self.study, dimension=2),
            "generalist_3d": PromptedLabel(self.study, dimension=3),
        }

    def init_trainers(self) -> dict[str, Any]:
        """The bundle's training."""
        return {self.study.bundle.name: BundleTraining(self.study)}

    def init_strategies(self) -> dict[str, Any]:
        """All strategies that query in rounds, the bundle's own first."""
        return {name: NextScan(self.study, name) for name in self.study.strategies}

    def init_scoring_methods(self) -> dict[str, Any]:
        """One method, whose single pass serves all strategies."""
        return {"all_strategies": PoolScores(self.study)}

    def infer(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """See the base class; what is wrong with a request or a file is told in the reply."""
        try:
            return super().infer(request, datastore)
        except FileNotFoundError as error:
            raise HTTPException(404, str(error)) from error
        except ValueError as error:
            raise HTTPException(400, str(error)) from error

    def batch_infer(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """See the base class; a broken image is named in the result, and the rest goes on."""

        def infer_or_tell(one: dict[str, Any], datastore: Any) -> dict[str, Any]:
            try:
                return self.infer(one, datastore)
            except HTTPException as error:
                logger.error("%s: %s", one["image"], error.detail)
                return {"error": error.detail}

        if not torch.cuda.is_available():
            request = request | {"multi_gpu": False}
        return self._batch_infer(request, datastore or self.datastore(), infer_or_tell)

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """The scan to annotate next, its slices and the reason; nothing if all are annotated."""
        name = request.get("strategy") or next(iter(self._strategies))
        if name not in self._strategies:
            raise HTTPException(400, f"strategy must be one of {', '.join(self._strategies)}, got {name!r}.")
        return self._strategies[name](request, self.datastore())

    def on_save_label(self, image_id: str, label_id: str) -> dict[str, Any]:
        """Takes a final label in as the scan's annotation; one that does not count is set aside, as the reply says."""
        datastore = self.datastore()
        saved = datastore.saved
        if saved is None or saved.tag != "final":
            return {}
        try:
            return self.study.submit(image_id, saved.file, saved.info)
        except NothingAnnotated as error:
            datastore.set_aside(image_id, "incomplete")
            raise HTTPException(400, f"{error} The scan stays in the queue.") from error
        except ValueError as error:
            datastore.set_aside(image_id, "refused")
            raise HTTPException(400, str(error)) from error
        except OSError as error:
            raise HTTPException(
                507, f"{image_id}: the annotation could not be kept ({error}); save it again."
            ) from error
