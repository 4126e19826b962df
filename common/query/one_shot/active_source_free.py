"""ASSFT's active test-time sample query: the farthest scan of a shortlist by divergence and difficulty.

After Yang, Marcus and Sotiras, arXiv 2509.10784. Its abstract names the two measures; how they are joined is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import rankdata
from torch import Tensor

from common.query.diversity import check_features
from common.query.one_shot.difficulty import anatomical_difficulty
from common.query.one_shot.divergence import SAME, cosine_similarity, knowledge_divergence, novelty
from common.query.one_shot.rating import Assessment, Prediction, Rating, most_wanted_first
from common.query.strategy import check_choice


def rank_average(first: Mapping[str, float], second: Mapping[str, float], weight: float = 0.5) -> dict[str, float]:
    """The weighted mean of each scan's ranks by two scores.

    A rank is ``(position - ½) / scans`` with the lowest score at position 1; equal scores share their mean position.

    Args:
        first: score by scan, finite.
        second: of the same scans.
        weight: of the first one's rank, 0 to 1; the second's is one minus it.

    Returns:
        By scan, in the order of their names, between 0 and 1.

    Raises:
        ValueError: if the weight is out of its range, the scans differ or a score is not finite.

    Example:
        >>> rank_average({"a": 0.1, "b": 0.7}, {"a": 5.0, "b": 9.0})
        {'a': 0.25, 'b': 0.75}
    """
    _check_share("weight", weight)
    if first.keys() != second.keys():
        raise ValueError(f"both scores must be of the same scans, got {sorted(first)} and {sorted(second)}.")
    scans = check_choice(first, 0)
    check_choice(second, 0)
    one, other = ((rankdata([scores[scan] for scan in scans]) - 0.5) / max(len(scans), 1) for scores in (first, second))
    return dict(zip(scans, (weight * one + (1 - weight) * other).tolist(), strict=True))


class ActiveSourceFree:
    """Chooses the scans that tell a pre-trained model most about a new domain.

    Scans are chosen one by one. Before each pick, those that are left are ranked by divergence x novelty and by
    difficulty. Those with the highest weighted means of the two ranks are on a shortlist, of which the scan is picked
    that is farthest from the known ones (k-centre greedy; Sener and Savarese, ICLR 2018), or, while nothing is known,
    the one nearest to the mean. It is known from then on.
    See :func:`common.query.one_shot.knowledge_divergence`, :func:`common.query.one_shot.novelty`,
    :func:`common.query.one_shot.anatomical_difficulty` and :class:`common.query.one_shot.SampleStrategy`.

    The shortlist is ours: scans that are hard for the same reason are alike, and a handful of them teaches less than
    scans at random (``docs/results.md``). The distances that decide there are Euclidean, with each feature
    standardised over the pool and the known scans: a few large ones would decide alone.

    Args:
        weight: of the rank by divergence x novelty, 0 to 1.
        feature_weight: of the distance of the pooled features within the divergence, 0 or more.
        dilation: of the regions of interest, in voxels.
        floor: probability below which a class is not there.
        shortlist: share of the scans that are left, 0 to 1; with 0 the highest mean of the ranks alone decides.

    Raises:
        ValueError: if ``weight`` or ``shortlist`` is out of its range.
    """

    name = "assft"
    unseen: Assessment | None = None

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
        """See :class:`common.query.one_shot.SampleStrategy`."""
        return {"feature_weight": self.feature_weight, "dilation": self.dilation, "floor": self.floor}

    def assess(self, plain: Prediction, adapt: Callable[[], Prediction]) -> Assessment:
        """A scan's ``divergence`` and ``difficulty``.

        Args:
            plain: the pre-trained model's prediction.
            adapt: gives that of the copy adapted to the scan; see :func:`common.query.one_shot.adapt_normalisation`.

        Raises:
            ValueError: if the shapes do not fit.
        """
        before, adapted = plain.probabilities, adapt()
        distance = 1 - cosine_similarity(plain.pooled, adapted.pooled)
        numbers = {
            "divergence": knowledge_divergence(
                before, adapted.probabilities, distance, feature_weight=self.feature_weight
            ),
            "difficulty": anatomical_difficulty(before, dilation=self.dilation, floor=self.floor),
        }
        return Assessment.of(plain, numbers)

    def rate(self, assessments: Mapping[str, Assessment], known: Sequence[Tensor] = ()) -> list[Rating]:
        """All scans, most wanted first: the shortlist as it is picked from, then the others by their scores.

        A score is the weighted mean of a scan's ranks, 0 to 1, and comes with ``divergence``, ``novelty``,
        ``difficulty`` and ``distance``: to the nearest known scan or, while nothing is known, to the mean, 1 being how
        far a scan is from the mean on the whole. Among equals the order is that of the names.

        Args:
            assessments: by scan.
            known: features ``[2F]`` of the scans that are labelled or chosen.

        Raises:
            ValueError: if a number is not finite, or features differ in length.
        """
        if not assessments:
            return []
        new = {scan: novelty(found.features, known) for scan, found in assessments.items()}
        apart = _distances(assessments, known)
        divergence, difficulty = (
            {scan: found.numbers[name] for scan, found in assessments.items()} for name in ("divergence", "difficulty")
        )
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
        shortlist = sorted(ratings[:length], key=lambda rating: rating.numbers["distance"], reverse=bool(known))
        return shortlist + ratings[length:]

    def choose(
        self, assessments: Mapping[str, Assessment], number: int, *, known: Sequence[Tensor] = ()
    ) -> list[Rating]:
        """The ``number`` scans to ask for, in the order of the picks, each as rated at its pick.

        Args:
            assessments: by scan; their order does not matter.
            number: 0 to the number of scans.
            known: features ``[2F]`` of the labelled scans.

        Raises:
            ValueError: if there are fewer scans than asked for, or for what :meth:`rate` raises it.
        """
        check_choice({scan: found.numbers["divergence"] for scan, found in assessments.items()}, number)
        rest, taken, picks = dict(assessments), list(known), []
        for _ in range(number):
            pick = self.rate(rest, taken)[0]
            taken.append(rest.pop(pick.scan).features)
            picks.append(pick)
        return picks


def _check_share(name: str, given: float) -> None:
    if not 0 <= given <= 1:
        raise ValueError(f"{name} must lie in 0..1, got {given}.")


def _distances(assessments: Mapping[str, Assessment], known: Sequence[Tensor]) -> dict[str, float]:
    """By scan, the root mean square over features of what lies between it and the nearest known scan, or the mean.

    Features are standardised over the pool and the known scans. One that is the same everywhere, up to rounding, is 0.
    """
    features = {scan: found.features for scan, found in assessments.items()}
    pool, labelled = check_features(list(features), features, known)
    together = np.concatenate([pool, labelled])
    spread = together.std(axis=0)
    same = spread <= SAME * np.abs(together).max(axis=0)
    apart = np.where(same, 0, (together - together.mean(axis=0)) / np.where(same, 1, spread))
    own, others = apart[: len(pool)], apart[len(pool) :] if len(labelled) else np.zeros((1, apart.shape[1]))
    nearest = cdist(own, others).min(axis=1) / np.sqrt(apart.shape[1])
    return dict(zip(features, nearest.tolist(), strict=True))
