"""ASSFT's active test-time sample query: the farthest scan of a shortlist by divergence and difficulty.

After Yang, Marcus and Sotiras, arXiv 2509.10784. Its abstract names the two measures. How each is computed, how
they are joined and the shortlist are ours.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from common.query.difficulty import anatomical_difficulty
from common.query.divergence import knowledge_divergence
from common.query.features import SAME, check_features, cosine_similarity, novelty
from common.query.prediction import Prediction
from common.query.strategy import Candidates, Rating, most_wanted_first


def rank_average(first: Mapping[str, float], second: Mapping[str, float], weight: float = 0.5) -> dict[str, float]:
    """The weighted mean of each scan's ranks by two scores.

    A rank is ``(position - ½) / scans`` with the lowest score at position 1; equal scores share their mean position.

    Args:
        first: The first score of each scan, finite.
        second: The second score of the same scans.
        weight: Weight of the rank by the first score, 0 to 1; that of the second is one minus it.

    Returns:
        The mean rank of each scan, between 0 and 1, in the order of the scans' names.

    Raises:
        ValueError: If the weight is out of its range, the scans differ or a score is not finite.

    Example:
        >>> rank_average({"a": 0.1, "b": 0.7}, {"a": 5.0, "b": 9.0})
        {'a': 0.25, 'b': 0.75}
    """
    _check_share("weight", weight)
    if first.keys() != second.keys():
        raise ValueError(f"both scores must be of the same scans, got {sorted(first)} and {sorted(second)}.")
    scans = Candidates({scan: {"first": first[scan], "second": second[scan]} for scan in first}).checked()
    one, other = ((rankdata([scores[scan] for scan in scans]) - 0.5) / max(len(scans), 1) for scores in (first, second))
    return dict(zip(scans, (weight * one + (1 - weight) * other).tolist(), strict=True))


class ActiveSourceFree:
    """Chooses the scans that tell a pre-trained model most about a new domain.

    Scans are chosen one by one. Before each pick, those that are left are ranked by divergence x novelty and by
    difficulty. Those with the highest weighted means of the two ranks are on a shortlist, of which the scan is picked
    that is farthest from the known ones (k-centre greedy; Sener and Savarese, ICLR 2018), or, while nothing is known,
    the one nearest to the mean. It is known from then on.
    See :func:`common.query.knowledge_divergence`, :func:`common.query.novelty`,
    :func:`common.query.anatomical_difficulty` and :class:`common.query.Strategy`.

    The shortlist, and the choice by distance within it, are ours and not ASSFT's: scans that are hard for the same
    reason are alike, and a handful of them teaches less than scans at random (``docs/results.md``). The distances that
    decide there are Euclidean, with each feature standardised over the pool and the known scans: a few large ones would
    decide alone.

    Args:
        weight: Weight of the rank by divergence x novelty, 0 to 1; that of the rank by difficulty is one minus it.
        feature_weight: Weight of the distance of the pooled features within the divergence, 0 or more.
        dilation: Voxels by which the regions of interest are dilated.
        floor: Probability below which a class is ignored.
        shortlist: Share, 0 to 1, of the remaining scans that are on the shortlist; with 0 the highest mean of the ranks
            alone decides.

    Raises:
        ValueError: If ``weight`` or ``shortlist`` is out of its range.
    """

    name = "assft"
    needs_predictions = True
    needs_features = True
    needs_adaptation = True

    def __init__(
        self,
        weight: float = 0.5,
        *,
        feature_weight: float = 0.5,
        dilation: int = 2,
        floor: float = 0.05,
        shortlist: float = 0.75,
    ) -> None:
        _check_share("weight", weight)
        _check_share("shortlist", shortlist)
        self.weight = weight
        self.shortlist = shortlist
        self.feature_weight = feature_weight
        self.dilation = dilation
        self.floor = floor

    @property
    def assessed_with(self) -> dict[str, float]:
        """The settings of the divergence and the difficulty; those of the ranks count in the choice alone."""
        return {"feature_weight": self.feature_weight, "dilation": self.dilation, "floor": self.floor}

    def assess(
        self, plain: Prediction, *, adapted: Prediction | None = None, progress: float = 0.0
    ) -> dict[str, float]:
        """Measures a scan's ``divergence`` and ``difficulty``.

        Args:
            plain: The pre-trained model's prediction.
            adapted: The prediction of the copy adapted to the scan; see :func:`common.query.adapt_normalisation`.
            progress: Ignored, since nothing has been trained yet.

        Raises:
            ValueError: If the adapted prediction is missing, or the shapes do not fit.
        """
        if adapted is None:
            raise ValueError("adapted must be the prediction of a copy adapted to the scan, got none.")
        before = plain.probabilities
        distance = 1 - cosine_similarity(plain.pooled, adapted.pooled)
        return {
            "divergence": knowledge_divergence(
                before, adapted.probabilities, distance, feature_weight=self.feature_weight
            ),
            "difficulty": anatomical_difficulty(before, dilation=self.dilation, floor=self.floor),
        }

    def rate(self, candidates: Candidates) -> list[Rating]:
        """Rates all scans, most wanted first: the shortlist as it is picked from, then the others by their scores.

        A score is the weighted mean of a scan's ranks, 0 to 1. It comes with ``divergence``, ``novelty``,
        ``difficulty`` and ``distance``: that to the nearest known scan or, while nothing is known, to the mean, in
        units of the scans' usual distance from the mean. Among equals the order is that of the names.

        Raises:
            ValueError: If a number is not finite, features are missing or they differ in length.
        """
        if not candidates.measures:
            return []
        apart = _distances(candidates)
        new = {scan: novelty(candidates.features[scan], candidates.known) for scan in candidates.measures}
        divergence, difficulty = candidates.measure("divergence"), candidates.measure("difficulty")
        scores = rank_average({scan: divergence[scan] * new[scan] for scan in divergence}, difficulty, self.weight)
        ratings = most_wanted_first(
            Rating(
                scan,
                score,
                {
                    "divergence": divergence[scan],
                    "novelty": new[scan],
                    "difficulty": difficulty[scan],
                    "distance": apart[scan],
                },
            )
            for scan, score in scores.items()
        )
        length = int(self.shortlist * len(ratings))
        shortlist = sorted(
            ratings[:length], key=lambda rating: rating.numbers["distance"], reverse=bool(candidates.known)
        )
        return shortlist + ratings[length:]

    def choose(self, candidates: Candidates) -> list[str]:
        """Picks scans one by one, each the first of the ratings of those that are left.

        Raises:
            ValueError: If there are fewer scans than asked for, or for the reasons of :meth:`rate`.
        """
        candidates.checked()
        chosen: list[str] = []
        for _ in range(candidates.number):
            chosen.append(self.rate(candidates)[0].scan)
            candidates = candidates.after(chosen[-1])
        return chosen


def _check_share(name: str, given: float) -> None:
    if not 0 <= given <= 1:
        raise ValueError(f"{name} must lie in 0..1, got {given}.")


def _distances(candidates: Candidates) -> dict[str, float]:
    """For each scan, its distance to the nearest known scan, or to the mean: the root mean square over the features.

    Features are standardised over the pool and the known scans. One that is the same everywhere, up to rounding, is 0.
    """
    pool, labelled = check_features(list(candidates.measures), candidates.features, candidates.known)
    together = np.concatenate([pool, labelled])
    spread = together.std(axis=0)
    same = spread <= SAME * np.abs(together).max(axis=0)
    apart = np.where(same, 0, (together - together.mean(axis=0)) / np.where(same, 1, spread))
    own, others = apart[: len(pool)], apart[len(pool) :] if len(labelled) else np.zeros((1, apart.shape[1]))
    nearest = cdist(own, others).min(axis=1) / np.sqrt(apart.shape[1])
    return dict(zip(candidates.measures, nearest.tolist(), strict=True))
