"""A query before training: assesses all scans, chooses some and has them annotated."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from pathlib import Path

from common import checks
from common.annotations.annotation import Annotator
from common.annotations.folder import AnnotationsPending
from common.annotations.ledger import Ledger
from common.annotations.record import annotate_and_record
from common.annotations.store import AnnotationStore
from common.cohort.cohort import Scan
from common.files import replacing
from common.query.one_shot.assess import PoolAssessment
from common.query.strategy import Candidates, Rating, Strategy

logger = logging.getLogger(__name__)


def check_budget(budget: int, scans: Sequence[Scan], ledger: Ledger) -> None:
    """Refuses a budget that exceeds the pool, or differs from the one that has been spent.

    Raises:
        ValueError: If it does; the message names the setting or the ledger.
    """
    checks.check_budget(budget, scans)
    if ledger.entries and ledger.budget_used != budget:
        raise ValueError(
            f"{ledger.path}: expected {budget} annotated scans, as budget says, found {ledger.budget_used}; "
            "use that budget, or another --output_dir."
        )


class SampleQuery:
    """Spends an annotation budget at once, on densely annotated scans.

    Everything it decides is in the ledger, as round 0, and in a table of all scans. Doing it again changes nothing. If
    an annotator cannot deliver yet, it says what is to be drawn where and ends; the same command resumes.

    Args:
        pool: The pass that assesses the scans.
        strategy: The strategy that chooses scans.
        annotator: Who annotates them.
        ledger: Record of what has been annotated.
        store: Store that gets the annotations.
        scans: The scans of the pool.
        budget: Number of scans to annotate.
        table: CSV file of all scans: ``scan, score``, the strategy's numbers of each (in ASSFT
            ``divergence, novelty, difficulty, distance``), ``chosen``; the chosen ones first, in the order of the picks
            (``chosen`` counts them from 1) and as rated at their pick; the others as they are rated after the last
            pick, most wanted first.
        seed: Seed of the choice, for strategies that leave something to chance.

    Raises:
        ValueError: If the budget does not fit the pool, or the ledger or a pending request was made with another budget
            or strategy, or other scans.
    """

    def __init__(
        self,
        pool: PoolAssessment,
        *,
        strategy: Strategy,
        annotator: Annotator,
        ledger: Ledger,
        store: AnnotationStore,
        scans: Sequence[Scan],
        budget: int,
        table: str | Path,
        seed: int = 0,
    ) -> None:
        check_budget(budget, scans, ledger)
        others = sorted({entry.strategy for entry in ledger.entries} - {strategy.name})
        if others:
            raise ValueError(
                f"{ledger.path}: expected scans chosen by {strategy.name}, found those of {', '.join(others)}; use "
                "another --output_dir."
            )
        self.pool = pool
        self.strategy = strategy
        self.annotator = annotator
        self.ledger = ledger
        self.store = store
        self.scans = {scan.id: scan for scan in scans}
        self.budget = budget
        self.table = Path(table)
        self.seed = seed

    def run(self) -> list[str]:
        """Makes the query; gives the annotated scans, none while annotations are awaited."""
        if self.ledger.entries:
            logger.info("%s: the query has been made; nothing to do.", self.ledger.path)
            return self.ledger.labelled
        asked = self.annotator.requested(0)
        if asked:
            self._check_asked(asked)
        assessments = self.pool.run()
        candidates = Candidates(
            {scan: found.numbers for scan, found in assessments.items()},
            number=self.budget,
            seed=self.seed,
            features={scan: found.features for scan, found in assessments.items()},
        )
        chosen = asked or self.strategy.choose(candidates)
        picks, others = rate_choice(self.strategy, candidates, chosen)
        write_ratings(self.table, picks, others)
        logger.info("chosen: %s; the scores of all scans are in %s", ", ".join(chosen), self.table)
        try:
            annotate_and_record(
                [self.scans[scan] for scan in chosen],
                annotator=self.annotator,
                ledger=self.ledger,
                store=self.store,
                strategy=self.strategy.name,
                scores={pick.scan: pick.score for pick in picks},
            )
        except AnnotationsPending as request:
            logger.warning("%s", request)
            return []
        return chosen

    def _check_asked(self, asked: Sequence[str]) -> None:
        """Raises ValueError if the scans of a pending request do not fit this budget and pool."""
        unknown = [scan for scan in asked if scan not in self.scans]
        if unknown:
            raise ValueError(
                f"the scans must hold those that annotations were asked for, but {', '.join(unknown)} are missing; "
                "bring them back, or use another --output_dir."
            )
        if len(asked) != self.budget:
            raise ValueError(
                f"budget must be {len(asked)}, the scans that annotations were asked for, got {self.budget}; use that "
                "budget, or another --output_dir."
            )


def rate_choice(strategy: Strategy, candidates: Candidates, chosen: Sequence[str]) -> tuple[list[Rating], list[Rating]]:
    """Rates the chosen scans among those left at their turn, and the others after the last one."""
    picks = []
    for scan in chosen:
        picks.append(next(rating for rating in strategy.rate(candidates) if rating.scan == scan))
        candidates = candidates.after(scan)
    return picks, strategy.rate(candidates)


def write_ratings(path: str | Path, picks: Sequence[Rating], others: Sequence[Rating]) -> None:
    """Writes the table of a query, atomically; see :class:`SampleQuery`."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        ratings = [*picks, *others]
        names = list(ratings[0].numbers) if ratings else []
        writer = csv.writer(file)
        writer.writerow(["scan", "score", *names, "chosen"])
        for place, rating in enumerate(ratings, start=1):
            numbers = (rating.score, *(rating.numbers[name] for name in names))
            writer.writerow([rating.scan, *(f"{it:.6g}" for it in numbers), place if place <= len(picks) else 0])
