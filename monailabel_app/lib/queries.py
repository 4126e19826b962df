"""Which scan is next, and the scores that strategies go by."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

from common.labelling.next_scan import CRITERIA
from lib.study import Study


class NextScan(Strategy):
    """One of the query strategies of `common.query`.

    Args:
        study: The study.
        name: The strategy's name.
    """

    def __init__(self, study: Study, name: str) -> None:
        super().__init__(f"{name}: {CRITERIA.get(name, 'a query strategy')}")
        self.study = study
        self.name = name

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """The next scan, its slices and the reason, also for the datastore; nothing if all are annotated."""
        asked = self.study.ask(self.name)
        if asked is None:
            return {}
        choice, wanted = asked
        datastore.update_image_info(choice.scan, {"query": asdict(wanted)})
        return {"id": choice.scan, "path": datastore.get_image_uri(choice.scan), "query": asdict(wanted)}


class PoolScores(ScoringMethod):
    """Scores the study's scans for all strategies in one pass.

    Args:
        study: The study.
    """

    def __init__(self, study: Study) -> None:
        super().__init__("What all strategies need to know of the scans, kept until the model changes")
        self.study = study

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """The number of scans that are scored, and what is wrong with the others."""
        try:
            scores = self.study.score()
        except (FileNotFoundError, ValueError) as error:
            return {"scored": 0, "problem": str(error)}
        return {"scored": len(scores.scans) - len(scores.problems), "problems": scores.problems}
