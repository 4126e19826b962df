"""Strategies that look at features alone: scans unlike each other, or like many others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from common.query.strategy import check_choice


class FeatureBased:
    """The part of a strategy that scores nothing and chooses by features."""

    needs_features = True

    def score(self, probabilities: Tensor, *, progress: float) -> float:
        """0 for every scan."""
        return 0.0


class CoreSet(FeatureBased):
    """K-centre greedy (Sener and Savarese, ICLR 2018): always the scan farthest from those labelled or chosen.

    Distances are Euclidean. While nothing is labelled, the first one is the scan nearest to the mean of the pool, which
    is our choice.
    """

    name = "coreset"

    def choose(
        self,
        scores: Mapping[str, float],
        number: int,
        *,
        seed: int,
        features: Mapping[str, Tensor] | None = None,
        known: Sequence[Tensor] = (),
    ) -> list[str]:
        """See :class:`common.query.Strategy`; features are needed."""
        scans = check_choice(scores, number)
        pool, centres = check_features(scans, features, known)
        chosen: list[int] = []
        for _ in range(number):
            taken = np.concatenate([centres, pool[chosen]])
            wanted = cdist(pool, taken).min(axis=1) if len(taken) else -np.linalg.norm(pool - pool.mean(0), axis=1)
            wanted[chosen] = -np.inf
            chosen.append(int(wanted.argmax()))
        return [scans[position] for position in chosen]


class KMeansPlusPlus(FeatureBased):
    """K-means++ seeding (Arthur and Vassilvitskii, SODA 2007) with the labelled scans as the first centres.

    A scan's chance is proportional to its squared Euclidean distance to the nearest scan labelled or chosen; equal if
    there is none, or all distances are 0.
    """

    name = "kmeans"

    def choose(
        self,
        scores: Mapping[str, float],
        number: int,
        *,
        seed: int,
        features: Mapping[str, Tensor] | None = None,
        known: Sequence[Tensor] = (),
    ) -> list[str]:
        """See :class:`common.query.Strategy`; features are needed."""
        scans = check_choice(scores, number)
        pool, centres = check_features(scans, features, known)
        return [scans[position] for position in _seeds(pool, number, centres, np.random.default_rng(seed))]


class Typicality(FeatureBased):
    """The most typical scan of every large cluster without labels (TypiClust, Hacohen et al., ICML 2022).

    All scans fall into as many k-means clusters as there are labelled scans and scans to choose. Picks come from the
    clusters with the fewest scans labelled or chosen, the largest first; a scan is typical if the mean Euclidean
    distance to its nearest neighbours within the cluster is small. The paper leaves clusters of fewer than five
    out; pools of scans are too small for that.

    Args:
        neighbours: that count, at least 1; 20 in the paper.
        iterations: of k-means, at least 1.

    Raises:
        ValueError: if an argument is out of its range.
    """

    name = "typicality"

    def __init__(self, neighbours: int = 20, iterations: int = 50) -> None:
        for argument, given in (("neighbours", neighbours), ("iterations", iterations)):
            if given < 1:
                raise ValueError(f"{argument} must be at least 1, got {given}.")
        self.neighbours = neighbours
        self.iterations = iterations

    def choose(
        self,
        scores: Mapping[str, float],
        number: int,
        *,
        seed: int,
        features: Mapping[str, Tensor] | None = None,
        known: Sequence[Tensor] = (),
    ) -> list[str]:
        """See :class:`common.query.Strategy`; features are needed."""
        scans = check_choice(scores, number)
        pool, labelled = check_features(scans, features, known)
        if number == 0:
            return []
        points = np.concatenate([pool, labelled])
        clusters = _k_means(points, min(len(labelled) + number, len(points)), seed, self.iterations)
        distances = cdist(points, points)
        left = np.arange(len(points)) < len(pool)
        chosen: list[int] = []
        for _ in range(number):
            members = [np.flatnonzero(clusters == cluster) for cluster in np.unique(clusters[left])]
            members.sort(key=lambda those: (int((~left[those]).sum()), -len(those)))
            inside = distances[np.ix_(members[0], members[0])]
            remoteness = np.sort(inside, axis=1)[:, 1 : self.neighbours + 1].sum(axis=1)
            remoteness[~left[members[0]]] = np.inf
            pick = int(members[0][remoteness.argmin()])
            left[pick] = False
            chosen.append(pick)
        return [scans[position] for position in chosen]


def check_features(
    scans: Sequence[str], features: Mapping[str, Tensor] | None, known: Sequence[Tensor]
) -> tuple[np.ndarray, np.ndarray]:
    """The features of the scans and of the labelled ones, float64 ``[scans, F]`` and ``[labelled, F]``.

    Raises:
        ValueError: if there are no features, a scan has none, or not all are finite vectors of one length.
    """
    if features is None:
        raise ValueError("features must be given to a strategy that needs them, got none.")
    lacking = [scan for scan in scans if scan not in features]
    if lacking:
        raise ValueError(f"features must hold every scan, but {', '.join(lacking)} are missing.")
    vectors = [vector.detach().cpu().double() for vector in (*(features[scan] for scan in scans), *known)]
    shapes = sorted({tuple(vector.shape) for vector in vectors})
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        raise ValueError(f"features must be vectors of one length, got the shapes {shapes}.")
    if not vectors:
        return np.zeros((0, 0)), np.zeros((0, 0))
    found = torch.stack(vectors).numpy()
    if not np.isfinite(found).all():
        raise ValueError("features must be finite, but some are not.")
    return found[: len(scans)], found[len(scans) :]


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
