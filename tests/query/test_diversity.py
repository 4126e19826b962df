import math
from collections import Counter

import pytest
import torch

from common.query import Candidates, CoreSet, KMeansPlusPlus, Typicality, strategy

FEATURE_BASED = ["coreset", "kmeans", "typicality"]


def points(**coordinates):
    return {name: torch.tensor(place, dtype=torch.float32).reshape(-1) for name, place in coordinates.items()}


def choose(kind, features, number, seed=0, known=()):
    measures = {scan: {"score": 0.0} for scan in features}
    return kind.choose(Candidates(measures, number, seed, features, known))


def groups(seed, sizes, distance=20.0):
    """Scans in blobs along the axes, ``{"0-3": …}``: the fourth of blob 0."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for group, size in enumerate(sizes):
        centre = torch.zeros(len(sizes))
        centre[group] = distance
        for index in range(size):
            found[f"{group}-{index}"] = centre + torch.randn(len(sizes), generator=generator)
    return found


def test_coreset_by_hand():
    features = points(a=0.0, b=1.0, c=4.0, d=10.0)
    # the mean is 3.75: c, then d (6 away), then a (4 away)
    assert choose(CoreSet(), features, 4) == ["c", "d", "a", "b"]
    # from 9: a (9 away), then c (4 away), then b and d (1 away each)
    assert choose(CoreSet(), features, 4, known=[torch.tensor([9.0])]) == ["a", "c", "b", "d"]


@pytest.mark.parametrize("seed", range(4))
def test_coreset_equals_a_loop_and_halves_the_optimum(seed):
    features = {f"s{index}": row for index, row in enumerate(torch.randn(9, 3, generator=torch.manual_seed(seed)))}
    known = [torch.zeros(3)]
    chosen = []
    for _ in range(4):
        distances = {
            name: min(torch.dist(place, other).item() for other in known + [features[it] for it in chosen])
            for name, place in features.items()
            if name not in chosen
        }
        chosen.append(max(distances, key=distances.__getitem__))
    assert choose(CoreSet(), features, 4, known=known) == chosen


@pytest.mark.parametrize("name", FEATURE_BASED)
def test_every_group_gets_one(name):
    kinds = [{scan[0] for scan in choose(strategy(name), groups(seed, (9, 5, 3)), 3, seed=seed)} for seed in range(20)]
    assert sum(kind == set("012") for kind in kinds) >= 18


@pytest.mark.parametrize("name", FEATURE_BASED)
def test_groups_that_are_labelled_come_later(name):
    for seed in range(10):
        pool = groups(seed, (6, 6, 6))
        known = [pool.pop("0-0"), pool.pop("2-0")]
        assert choose(strategy(name), pool, 1, seed=seed, known=known)[0][0] == "1"


def test_kmeans_draws_by_squared_distance():
    features = points(a=0.0, b=1.0, c=2.0, d=3.0)
    known = [torch.tensor([0.0])]
    counts = Counter(choose(KMeansPlusPlus(), features, 1, seed=seed, known=known)[0] for seed in range(1400))
    assert counts["a"] == 0
    assert [counts[name] / 100 for name in "bcd"] == pytest.approx([1, 4, 9], abs=0.6)


def test_typicality_prefers_the_middle_of_the_largest_group():
    features = points(a=0.0, b=1.0, c=2.0, d=3.5, e=100.0, f=101.0)
    for seed in range(5):
        # mean distances within a, b, c, d: 2.17, 1.5, 1.5, 2.5
        assert choose(Typicality(), features, 1, seed=seed, known=[torch.tensor([100.5])]) == ["b"]
        assert choose(Typicality(neighbours=1), features, 1, seed=seed, known=[torch.tensor([100.5])]) == ["a"]


@pytest.mark.parametrize("name", FEATURE_BASED)
@pytest.mark.parametrize("known", [[], [torch.ones(3)]])
def test_identical_scans(name, known):
    features = dict.fromkeys("dbac", torch.ones(3))
    chosen = choose(strategy(name), features, 4, seed=3, known=known)
    assert sorted(chosen) == list("abcd")
    assert chosen == choose(strategy(name), features, 4, seed=3, known=known)


@pytest.mark.parametrize("name", FEATURE_BASED)
def test_bad_features(name):
    kind = strategy(name)
    assert kind.needs_features
    measures = {"a": {"score": 0.0}, "b": {"score": 0.0}}
    with pytest.raises(ValueError, match="features must be given to a strategy that needs them, got none"):
        kind.choose(Candidates(measures, 1))
    with pytest.raises(ValueError, match="must hold every scan, but b are missing"):
        kind.choose(Candidates(measures, 1, features=points(a=0.0)))
    with pytest.raises(ValueError, match=r"one length, got the shapes \[\(1,\), \(2,\)\]"):
        kind.choose(Candidates(measures, 1, features=points(a=0.0, b=[0.0, 1.0])))
    with pytest.raises(ValueError, match=r"one length, got the shapes \[\(1,\), \(2,\)\]"):
        kind.choose(Candidates(measures, 1, features=points(a=0.0, b=1.0), known=[torch.zeros(2)]))
    with pytest.raises(ValueError, match="must be finite"):
        kind.choose(Candidates(measures, 1, features=points(a=0.0, b=math.inf)))
    with pytest.raises(ValueError, match=r"must lie in 0\.\.2 .* got 3"):
        kind.choose(Candidates(measures, 3, features=points(a=0.0, b=1.0)))


def test_bad_arguments():
    with pytest.raises(ValueError, match="neighbours must be at least 1, got 0"):
        Typicality(neighbours=0)
    with pytest.raises(ValueError, match="iterations must be at least 1, got 0"):
        Typicality(iterations=0)
