"""The query in rounds: some scans are annotated at random first, then those that a strategy chooses."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping, Sequence

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from common.annotations.annotation import Annotator
from common.annotations.cross_label import middle_slices
from common.annotations.folder import AnnotationsPending
from common.annotations.ledger import Ledger
from common.annotations.record import annotate_and_record
from common.annotations.store import AnnotationStore
from common.cohort.cohort import Scan
from common.handlers.pool import PoolInference, PoolScan, of_all_processes
from common.query import Candidates, Strategy

logger = logging.getLogger(__name__)


def check_budget(budget: int, scans: Sequence[Scan]) -> None:
    """Refuses a budget that the pool cannot spend.

    Args:
        budget: Number of scans that may be annotated in all.
        scans: The training scans.

    Raises:
        ValueError: Naming the setting, what was expected and what was found.
    """
    if not 1 <= budget <= len(scans):
        raise ValueError(
            f"budget must be at most the number of training scans, {len(scans)}, and at least 1, got {budget}; lower "
            "it, or add scans to the datalist."
        )


class ActiveQueryHandler:
    """Spends an annotation budget: ``initial`` scans at random, then ``per_round`` scans at each round (FM-ABS).

    Everything it decides is in the ledger, from which a run that is started again resumes. If an annotator cannot
    deliver yet, training ends cleanly; the same command resumes it when the annotations are there.

    Args:
        pool: The inference over the pool that shows this handler each scan.
        strategy: The strategy that chooses scans.
        annotator: Who annotates them.
        ledger: Record of what has been annotated.
        store: Store that gets the annotations.
        scans: The scans of the pool.
        budget: Number of scans that may be annotated in all.
        initial: Number of scans annotated before training, chosen at random.
        per_round: Number of scans annotated at each round.
        seed: Seed of the random choices.

    Raises:
        ValueError: If budget, initial and pool do not fit, or the strategy needs features that the pool does not give.
    """

    def __init__(
        self,
        pool: PoolInference,
        *,
        strategy: Strategy,
        annotator: Annotator,
        ledger: Ledger,
        store: AnnotationStore,
        scans: Sequence[Scan],
        budget: int,
        initial: int,
        per_round: int,
        seed: int = 0,
    ) -> None:
        check_budget(budget, scans)
        if not 1 <= initial <= budget:
            raise ValueError(f"the scans annotated before training must be 1 to the budget, {budget}, got {initial}.")
        if per_round < 1:
            raise ValueError(f"per_round must be at least 1, got {per_round}.")
        if strategy.needs_features and not pool.features:
            raise ValueError(
                f"pool must give features for the strategy {strategy.name}: PoolInference(features=True), "
                "got features=False."
            )
        self.pool = pool
        self.strategy = strategy
        self.annotator = annotator
        self.ledger = ledger
        self.store = store
        self.scans = {scan.id: scan for scan in scans}
        self.budget = budget
        self.initial = initial
        self.per_round = per_round
        self.seed = seed
        self._round = 0
        self._progress = 0.0
        self._measures: dict[str, dict[str, float]] = {}
        self._suggestions: dict[str, dict[str, int]] = {}
        self._features: dict[str, torch.Tensor] = {}

    def attach(self, engine: Engine) -> None:
        """Listens to the pool's rounds, and has the first scans annotated when training starts."""
        self.pool.listen(self)
        engine.add_event_handler(Events.STARTED, self.start)

    def start(self, engine: Engine) -> None:
        """Annotates the random first scans, unless the ledger has them."""
        if not any(entry.round == 0 for entry in self.ledger.entries):
            generator = torch.Generator().manual_seed(self.seed)
            order = torch.randperm(len(self.scans), generator=generator).tolist()
            identifiers = list(self.scans)
            chosen = self.annotator.requested(0) or [identifiers[index] for index in order[: self.initial]]
            self._annotate(engine, chosen, strategy="random")

    def begin(self, engine: Engine, number: int) -> None:
        """Begins a round."""
        self._round = number
        self._progress = engine.state.iteration / engine.max_iterations  # type: ignore[attr-defined]
        self._measures, self._suggestions, self._features = {}, {}, {}

    def visit(self, scan: PoolScan) -> None:
        """Assesses a scan that is not annotated yet; keeps every scan's features if the strategy needs them."""
        if self.strategy.needs_features:
            self._features[scan.scan] = scan.pooled.cpu()
        if self.ledger.is_labelled(scan.scan):
            return
        self._measures[scan.scan] = self.strategy.assess(scan, progress=self._progress)
        prediction = scan.probabilities.argmax(dim=0).cpu().numpy()
        if prediction.any():
            self._suggestions[scan.scan] = middle_slices(prediction)

    def end(self, engine: Engine, number: int) -> None:
        """Chooses scans and has them annotated."""
        if any(entry.round == number for entry in self.ledger.entries):
            return
        measures, features = of_all_processes(self._measures), of_all_processes(self._features)
        self._suggestions = of_all_processes(self._suggestions)
        candidates = Candidates(
            measures,
            number=min(self.per_round, self.budget - self.ledger.budget_used, len(measures)),
            seed=zlib.crc32(f"{self.seed}/{number}".encode()),
            features=features,
            known=[features[scan] for scan in sorted(features) if self.ledger.is_labelled(scan)],
        )
        if candidates.number < 1:
            return
        chosen = self.annotator.requested(number) or self.strategy.choose(candidates)
        scores = {rating.scan: rating.score for rating in self.strategy.rate(candidates)}
        self._annotate(engine, chosen, strategy=self.strategy.name, scores=scores)

    def _annotate(
        self, engine: Engine, chosen: Sequence[str], *, strategy: str, scores: Mapping[str, float] | None = None
    ) -> None:
        """Has scans annotated by the first process; the others read the result from disk."""
        pending = False
        if idist.get_rank() == 0:
            try:
                annotate_and_record(
                    [self.scans[scan] for scan in chosen],
                    annotator=self.annotator,
                    ledger=self.ledger,
                    store=self.store,
                    strategy=strategy,
                    round=self._round,
                    iteration=engine.state.iteration,
                    scores=scores,
                    suggestions={scan: self._suggestions[scan] for scan in chosen if scan in self._suggestions},
                )
            except AnnotationsPending as request:
                logger.warning("%s", request)
                pending = True
        if idist.broadcast(float(pending)):
            engine.terminate()
            return
        self.ledger.reload()
        logger.info("round %d: annotated %s (%s)", self._round, ", ".join(chosen), strategy)
