import math
from collections import Counter

import pytest
import torch

from common.query import (
    ActiveSourceFree,
    Candidates,
    Prediction,
    anatomical_difficulty,
    knowledge_divergence,
    rank_average,
)
from common.query.one_shot import rate_choice


def direction(degrees):
    return torch.tensor([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])


def measured(divergence, difficulty, features):
    return {"divergence": divergence, "difficulty": difficulty}, features


def candidates(scans, number=0, known=()):
    """Of scans as :func:`measured` gives them."""
    measures = {scan: numbers for scan, (numbers, _) in scans.items()}
    return Candidates(measures, number, features={scan: features for scan, (_, features) in scans.items()}, known=known)


def choose(scans, number, *, strategy=None, known=()):
    """The picks, each as rated at its turn."""
    given, strategy = candidates(scans, number, known), strategy or ActiveSourceFree()
    picks, _ = rate_choice(strategy, given, strategy.choose(given))
    return picks


def test_ranks_by_hand():
    first = {"c": 5.0, "a": 0.1, "b": 7.0, "d": 5.0}
    second = {"a": 9.0, "b": 1.0, "c": 2.0, "d": 3.0}
    # ranks of four: 0.125, 0.375, 0.625, 0.875; c and d share the mean of the middle ones
    ranks = {"a": (0.125, 0.875), "b": (0.875, 0.125), "c": (0.5, 0.375), "d": (0.5, 0.625)}
    for weight in (0.0, 0.5, 0.8, 1.0):
        expected = {scan: weight * one + (1 - weight) * other for scan, (one, other) in ranks.items()}
        assert rank_average(first, second, weight) == pytest.approx(expected)
    assert list(rank_average(first, second)) == ["a", "b", "c", "d"]
    assert rank_average({}, {}) == {}
    assert rank_average({"a": 3.0}, {"a": 0.0}) == {"a": 0.5}


def test_ranks_do_not_depend_on_scale():
    first, second = {"a": 1.0, "b": 2.0, "c": 9.0}, {"a": 3.0, "b": 1.0, "c": 2.0}
    assert rank_average(first, second) == rank_average({k: math.exp(v) for k, v in first.items()}, second)


def test_bad_ranks():
    with pytest.raises(ValueError, match=r"weight must lie in 0\.\.1, got 1\.5"):
        rank_average({}, {}, 1.5)
    with pytest.raises(ValueError, match=r"same scans, got \['a'\] and \['b'\]"):
        rank_average({"a": 1.0}, {"b": 1.0})
    with pytest.raises(ValueError, match="those of a are not"):
        rank_average({"a": 1.0}, {"a": math.nan})
    with pytest.raises(ValueError, match=r"weight must lie in 0\.\.1, got -1"):
        ActiveSourceFree(-1)
    with pytest.raises(ValueError, match=r"shortlist must lie in 0\.\.1, got 2"):
        ActiveSourceFree(shortlist=2)


def test_an_assessment_has_both_measures():
    generator = torch.Generator().manual_seed(0)
    before, after = (torch.randn(2, 8, 8, 8, generator=generator).mul(2).softmax(0) for _ in range(2))
    features, moved = (torch.rand(3, 4, 4, 4, generator=generator) for _ in range(2))
    plain, adapted = Prediction(before, features), Prediction(after, moved)
    found = ActiveSourceFree(feature_weight=0).assess(plain, adapted=adapted)
    assert found["divergence"] == knowledge_divergence(before, after)
    assert found["difficulty"] == anatomical_difficulty(before)
    assert plain.pooled.shape == (6,)
    assert plain.foreground.sum() == (before[1] > 0.5).sum()
    with_features = ActiveSourceFree().assess(plain, adapted=adapted)
    assert with_features["divergence"] > found["divergence"]
    same = ActiveSourceFree().assess(plain, adapted=plain)
    assert same["divergence"] == pytest.approx(0, abs=1e-6)


def test_predictions_without_foreground():
    empty = torch.zeros(2, 4, 4, 4)
    empty[0] = 1
    plain = Prediction(empty, torch.rand(3, 2, 2, 2))
    found = ActiveSourceFree().assess(plain, adapted=plain)
    assert found == {"divergence": pytest.approx(0, abs=1e-12), "difficulty": 0}
    assert plain.foreground.sum() == 0
    picks = choose(dict.fromkeys("bac", (found, plain.pooled)), 2)
    assert [pick.scan for pick in picks] == ["a", "b"]


def four(third):
    """Scans whose features have a mean of zero, the first two the same."""
    return {
        "a": measured(1.0, 0.5, torch.tensor([1.0, 0.0])),
        "b": measured(0.9, 0.4, torch.tensor([1.0, 0.0])),
        "c": measured(0.4, 0.3, torch.tensor([0.0, third])),
        "d": measured(0.1, 0.2, torch.tensor([-2.0, -third])),
    }


def test_choice_by_hand():
    assessments = four(1.0)
    picks = choose(assessments, 4, strategy=ActiveSourceFree(shortlist=0))
    # once a is taken, b is known: ranks b (1, 3), c (3, 2), d (2, 1) of three
    assert [pick.scan for pick in picks] == ["a", "c", "b", "d"]
    assert picks[0].score == pytest.approx(0.875) and picks[0].numbers["novelty"] == 1
    assert picks[1].score == pytest.approx((2.5 / 3 + 1.5 / 3) / 2) and picks[1].numbers["novelty"] == pytest.approx(1)
    by_difficulty = choose(assessments, 4, strategy=ActiveSourceFree(weight=0, shortlist=0))
    assert [pick.scan for pick in by_difficulty] == ["a", "b", "c", "d"]
    known = choose(assessments, 1, strategy=ActiveSourceFree(weight=1, shortlist=0), known=[direction(0)])
    assert [pick.scan for pick in known] == ["c"]
    assert known[0].numbers["novelty"] == pytest.approx(1)


def test_shortlist_by_hand():
    picks = choose(four(0.0), 4, strategy=ActiveSourceFree(shortlist=0.75))
    # of a, b and c, c is nearest to the mean; of a and b, equally far, a has the higher score
    assert [pick.scan for pick in picks] == ["c", "a", "b", "d"]
    assert picks[1].numbers["novelty"] == pytest.approx(1)
    # along the one feature that varies, of mean 0 and variance 1.5: c to the mean, a to c, b to a, d to c
    distances = [pick.numbers["distance"] for pick in picks]
    assert distances == pytest.approx([0, 1 / math.sqrt(3), 0, 2 / math.sqrt(3)])
    farthest = choose(four(0.0), 4, strategy=ActiveSourceFree(shortlist=1))
    assert [pick.scan for pick in farthest] == ["c", "d", "a", "b"]


def brute_force_k_centre(points, number):
    """K-centre greedy from the scan nearest to the mean, every feature standardised by hand."""
    columns = []
    for column in zip(*points, strict=True):
        mean = sum(column) / len(column)
        spread = math.sqrt(sum((value - mean) ** 2 for value in column) / len(column))
        columns.append([(value - mean) / spread for value in column])
    scans = list(zip(*columns, strict=True))
    chosen = [min(range(len(scans)), key=lambda scan: math.dist(scans[scan], [0] * len(columns)))]
    while len(chosen) < number:
        chosen.append(max(range(len(scans)), key=lambda scan: min(math.dist(scans[scan], scans[k]) for k in chosen)))
    return chosen


def test_within_the_shortlist_picks_are_k_centre_greedy():
    generator = torch.Generator().manual_seed(3)
    scale = torch.tensor([1.0, 100.0, 0.01, 5.0])
    features = torch.randn(14, 4, generator=generator, dtype=torch.float64) * scale + 30
    pool = {f"{place:02}": measured(0.5, 0.5, vector) for place, vector in enumerate(features)}
    expected = brute_force_k_centre(features.tolist(), 6)
    assert [int(pick.scan) for pick in choose(pool, 6, strategy=ActiveSourceFree(shortlist=1))] == expected
    known = [features[place] for place in expected[:2]]
    rest = {scan: found for scan, found in pool.items() if int(scan) not in expected[:2]}
    picks = choose(rest, 4, strategy=ActiveSourceFree(shortlist=1), known=known)
    assert [int(pick.scan) for pick in picks] == expected[2:]


def test_units_of_features_do_not_count():
    generator = torch.Generator().manual_seed(0)
    pool = {
        f"{number}": measured(*torch.rand(2, generator=generator).tolist(), torch.randn(6, generator=generator))
        for number in range(12)
    }
    units = torch.tensor([1e-3, 1.0, 50.0, 2.0, 1e4, 0.5])
    moved = {scan: (numbers, features * units + 100) for scan, (numbers, features) in pool.items()}
    picks, others = (choose(scans, 5, strategy=ActiveSourceFree(shortlist=1)) for scans in (pool, moved))
    assert [pick.scan for pick in picks] == [pick.scan for pick in others]


def test_rating_all_scans():
    assessments = {"b": measured(1.0, 0.1, direction(0)), "a": measured(0.5, 0.3, direction(90))}
    ratings = ActiveSourceFree().rate(candidates(assessments))
    assert [rating.scan for rating in ratings] == ["a", "b"] and ratings[0].score == ratings[1].score == 0.5
    assert ratings[1].numbers == {"divergence": 1.0, "novelty": 1.0, "difficulty": 0.1, "distance": pytest.approx(1)}


def test_identical_scans_and_a_pool_below_the_budget():
    same = measured(0.3, 0.2, direction(30))
    picks = choose({"c": same, "a": (same[0], same[1].clone()), "b": same}, 3)
    assert [pick.scan for pick in picks] == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"must lie in 0\.\.1 .* got 2"):
        choose({"a": same}, 2)


def test_planted_groups_are_asked_for_by_their_weights():
    counts = {weight: Counter() for weight in (0.0, 0.5, 1.0)}
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)

        def of(divergence, difficulty, generator=generator):
            jitter = 1 + 0.3 * torch.randn(2, generator=generator)
            features = torch.rand(16, generator=generator)
            return measured(divergence * jitter[0].item(), difficulty * jitter[1].item(), features)

        pool = {f"plain{index}": of(0.05, 0.1) for index in range(8)}
        pool |= {f"unlike{index}": of(0.3, 0.1) for index in range(4)}
        pool |= {f"hard{index}": of(0.05, 0.5) for index in range(4)}
        for weight, counter in counts.items():
            counter.update(
                pick.scan.rstrip("0123456789")
                for pick in choose(pool, 4, strategy=ActiveSourceFree(weight, shortlist=0))
            )
    assert counts[1.0]["unlike"] > 0.9 * 80
    assert counts[0.0]["hard"] > 0.9 * 80
    assert counts[0.5]["plain"] < 0.2 * 80
