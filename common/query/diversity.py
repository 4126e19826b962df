"""Strategies that choose by features alone: scans unlike each other, or like many others."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from common.query.features import check_features
from common.query.strategy import Candidates, ScoringStrategy


class CoreSet(ScoringStrategy):
    """K-centre greedy (Sener and Savarese, ICLR 2018): always picks the scan farthest from those labelled or chosen.

    Distances are Euclidean. While nothing is labelled, the first pick is the scan nearest to the mean of the pool,
    which is our choice.
    """

    name = "coreset"
    needs_features = True

    def choose(self, candidates: Candidates) -> list[str]:
        """See :class:`common.query.Strategy`."""
        scans = candidates.checked()
        pool, centres = check_features(scans, candidates.features, candidates.known)
        chosen: list[int] = []
        for _ in range(candidates.number):
            taken = np.concatenate([centres, pool[chosen]])
            wanted = cdist(pool, taken).min(axis=1) if len(taken) else -np.linalg.norm(pool - pool.mean(0), axis=1)
            wanted[chosen] = -np.inf
            chosen.append(int(wanted.argmax()))
        return [scans[position] for position in chosen]


class KMeansPlusPlus(ScoringStrategy):
    """K-means++ seeding (Arthur and Vassilvitskii, SODA 2007) with the labelled scans as the first centres.

    A scan's chance is proportional to its squared Euclidean distance to the nearest scan labelled or chosen; equal if
    there is none, or all distances are 0.
    """

    name = "kmeans"
    needs_features = True

    def choose(self, candidates: Candidates) -> list[str]:
        """See :class:`common.query.Strategy`."""
        scans = candidates.checked()
        pool, centres = check_features(scans, candidates.features, candidates.known)
        chance = np.random.default_rng(candidates.seed)
        return [scans[position] for position in _seeds(pool, candidates.number, centres, chance)]


class Typicality(ScoringStrategy):
    """The most typical scan of every large cluster without labels (TypiClust, Hacohen et al., ICML 2022).

    All scans fall into as many k-means clusters as there are labelled scans and scans to choose. Picks come from the
    clusters with the fewest scans labelled or chosen, the largest first; a scan is typical if the mean Euclidean
    distance to its nearest neighbours within the cluster is small. The paper leaves out clusters of fewer
    than five; pools of scans are too small for that.

    Args:
        neighbours: Nearest neighbours over which the distance is averaged, at least 1; 20 in the paper.
        iterations: Iterations of k-means at most, at least 1.

    Raises:
        ValueError: If an argument is out of its range.
    """

    name = "typicality"
    needs_features = True

    def __init__(self, neighbours: int = 20, iterations: int = 50) -> None:
        for argument, given in (("neighbours", neighbours), ("iterations", iterations)):
            if given < 1:
                raise ValueError(f"{argument} must be at least 1, got {given}.")
        self.neighbours = neighbours
        self.iterations = iterations

    def choose(self, candidates: Candidates) -> list[str]:
        """See :class:`common.query.Strategy`."""
        scans = candidates.checked()
        pool, labelled = check_features(scans, candidates.features, candidates.known)
        if candidates.number == 0:
            return []
        points = np.concatenate([pool, labelled])
        clusters = _k_means(
            points, min(len(labelled) + candidates.number, len(points)), candidates.seed, self.iterations
        )
        distances = cdist(points, points)
        left = np.arange(len(points)) < len(pool)
        chosen: list[int] = []
        for _ in range(candidates.number):
            members = [np.flatnonzero(clusters == cluster) for cluster in np.unique(clusters[left])]
            members.sort(key=lambda those: (int((~left[those]).sum()), -len(those)))
            inside = distances[np.ix_(members[0], members[0])]
            remoteness = np.sort(inside, axis=1)[:, 1 : self.neighbours + 1].sum(axis=1)
            remoteness[~left[members[0]]] = np.inf
            pick = int(members[0][remoteness.argmin()])
            left[pick] = False
            chosen.append(pick)
        return [scans[position] for position in chosen]


def _seeds(points: np.ndarray, number: int, centres: np.ndarray, generator: np.random.Generator) -> list[int]:
    """Positions of ``number`` different points drawn by k-means++."""
    chosen: list[int] = []
    for _ in range(number):
        taken = np.concatenate([centres, points[chosen]])
        chances = cdist(points, taken).min(axis=1) ** 2 if len(taken) else np.ones(len(points))
        chances[chosen] = 0
        if not chances.any():
            chances = np.ones(len(points))
            chances[chosen] = 0
        chosen.append(int(generator.choice(len(points), p=chances / chances.sum())))
    return chosen


def _k_means(points: np.ndarray, number: int, seed: int, iterations: int) -> np.ndarray:
    """The cluster of each point, ``[points]``, by Lloyd's iterations from k-means++ seeds."""
    centres = points[_seeds(points, number, points[:0], np.random.default_rng(seed))]
    clusters = cdist(points, centres).argmin(axis=1)
    for _ in range(iterations):
        for cluster in np.unique(clusters):
            centres[cluster] = points[clusters == cluster].mean(axis=0)
        before, clusters = clusters, cdist(points, centres).argmin(axis=1)
        if (clusters == before).all():
            break
    return clusters
