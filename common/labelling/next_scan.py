"""Which scan of a study is to be annotated next, and why."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from common.annotations.ledger import LedgerEntry
from common.checks import check_one_of
from common.labelling.scores import Scores, usable_strategies
from common.query import Candidates

CRITERIA = {
    "lc": "the mean confidence in its least certain quarter is lowest",
    "he": "the prediction's mean entropy is highest",
    "her": "the share of voxels with high entropy is largest",
    "random": "it was drawn by lot",
    "foreground_random": "it was drawn by lot among the scans in which something is found",
    "coreset": "it is farthest from everything that is annotated",
    "kmeans": "it was drawn with a chance that grows with its distance from what is annotated",
    "typicality": "it is the most typical scan of a group without annotation",
    "clasp_pe": "its classes are the least certain, with some chance in the draw",
}
"""By strategy, what it goes by, in words."""


@dataclass(frozen=True)
class Choice:
    """The scan that a strategy wants next.

    Attributes:
        scan: The scan's id.
        strategy: Name of the strategy that chose it.
        score: Its score; None where chance or distances between scans decide.
        slices: Slices worth annotating, by view, on the scan's RAS grid; views may be missing.
        reason: Why this scan, in words.
    """

    scan: str
    strategy: str
    score: float | None = None
    slices: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""


def next_scan(
    strategy: str,
    scans: Sequence[str],
    *,
    labelled: Collection[str],
    scores: Scores | None,
    why_unscored: str = "",
    seed: int = 0,
) -> Choice | None:
    """Chooses the scan to annotate next.

    Without scores, or where they do not serve the strategy, chance decides, and the reason says why.

    Args:
        strategy: Name of the strategy.
        scans: Ids of the study's scans.
        labelled: Ids of those that are annotated.
        scores: The scores of the scans; None if there is no model to score them with.
        why_unscored: Why there are no scores, in words.
        seed: Seed of strategies that leave something to chance.

    Returns:
        The choice; None if all scans are annotated or broken.

    Raises:
        ValueError: If there is no such strategy.
    """
    strategies = usable_strategies()
    check_one_of("strategy", strategy, strategies)
    chosen = strategies[strategy]
    known = Scores() if scores is None else scores
    left = sorted(scan for scan in scans if scan not in labelled and scan not in known.problems)
    if not left:
        return None
    seed = zlib.crc32(f"{seed}/{len(labelled)}".encode())
    count = f"{len(left)} scan{'s' * (len(left) > 1)} without annotation"
    if broken := sorted(known.problems):
        count += f" ({', '.join(broken)} cannot be read)"
    if not chosen.needs_predictions:
        measures: dict[str, dict[str, float]] = {scan: {"score": 0.0} for scan in left}
    else:
        measures = {
            scan: known.scans[scan].measures[strategy]
            for scan in left
            if scan in known.scans and strategy in known.scans[scan].measures
        }
    if not measures:
        why = why_unscored or "the network has no features to compare scans by"
        scan = left[int(np.random.default_rng(seed).integers(len(left)))]
        return Choice(scan, "random", None, _slices(known, scan), f"Drawn by lot of {count}: {why}.")
    features = {scan: torch.tensor(it.features) for scan, it in known.scans.items() if it.features and not it.problem}
    candidates = Candidates(
        measures,
        number=1,
        seed=seed,
        features=features,
        known=[features[scan] for scan in sorted(features) if scan in labelled],
    )
    scan = chosen.choose(candidates)[0]
    reason = f"Of {count}, {CRITERIA.get(strategy, strategy)}"
    if not chosen.needs_predictions or chosen.needs_features:
        return Choice(scan, strategy, None, _slices(known, scan), reason + ".")
    scores_of = {rating.scan: rating.score for rating in chosen.rate(candidates)}
    reason += f" (score {scores_of[scan]:.4g}; all: {min(scores_of.values()):.4g} to {max(scores_of.values()):.4g})."
    return Choice(scan, strategy, scores_of[scan], _slices(known, scan), reason)


def round_number(entries: Iterable[LedgerEntry], learnt: Collection[str]) -> int:
    """Number of the round that an annotation made now belongs to.

    A round ends when a model has learnt from all of its scans: those annotated next begin a new one.

    Args:
        entries: The ledger's entries.
        learnt: Ids of the scans that a training has learnt from.
    """
    entries = list(entries)
    last = max((entry.round for entry in entries), default=0)
    return last + all(entry.scan in learnt for entry in entries) if entries else 0


def _slices(scores: Scores, scan: str) -> Mapping[str, int]:
    return scores.scans[scan].slices if scan in scores.scans else {}
