import math
import zlib
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.query import (
    STRATEGIES,
    ActiveSourceFree,
    Candidates,
    ForegroundAwareRandom,
    HighestEntropy,
    HighestEntropyRatio,
    LeastConfidence,
    Prediction,
    Random,
    strategy,
)

SCORING = [name for name in STRATEGIES if name != "assft"]


def scan(*foreground):
    """Two-class probabilities ``[2, 1, 1, n]``."""
    p = torch.tensor(foreground)
    return torch.stack([1 - p, p]).reshape(2, 1, 1, -1)


def features_of(scans, size=4):
    """Features by scan that depend on its name alone."""
    return {
        name: torch.randn(size, generator=torch.Generator().manual_seed(zlib.crc32(name.encode()))) for name in scans
    }


def candidates(scores, number, seed=0, features=None, known=()):
    return Candidates({name: {"score": score} for name, score in scores.items()}, number, seed, features or {}, known)


def bits(p):
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


@pytest.mark.parametrize(
    ("name", "probabilities", "progress", "expected"),
    [
        # confidences 0.6, 0.7, 0.9, … : the lowest two of eight
        ("lc", scan(0.4, 0.7, 0.1, 0.9, 0.95, 0.0, 0.0, 1.0), 0.0, 1 - (0.6 + 0.7) / 2),
        ("lc", scan(0.4, 0.9), 0.0, 0.4),  # at least one voxel
        ("lc", torch.full((4, 2, 2, 2), 0.25), 0.0, 0.75),
        ("he", scan(0.5, 0.0, 1.0, 0.9), 0.0, (1 + bits(0.9)) / 4),
        ("he", torch.full((4, 2, 2, 2), 0.25), 0.0, 1.0),
        ("he", scan(0.0, 1.0), 0.0, 0.0),
        # normalised entropies 1, 0.72, 0.47, 0 against β = 0.502 and 0.75
        ("her", scan(0.5, 0.8, 0.1, 0.0), 0.0, 0.5),
        ("her", scan(0.5, 0.8, 0.1, 0.0), 1.0, 0.25),
        ("random", scan(0.5, 0.8), 0.0, 0.0),
        ("coreset", scan(0.5, 0.8), 0.0, 0.0),
        ("kmeans", scan(0.5, 0.8), 0.0, 0.0),
        ("typicality", scan(0.5, 0.8), 0.0, 0.0),
        ("foreground_random", scan(0.2, 0.8, 0.6), 0.0, 2.0),
        ("foreground_random", torch.eye(3).reshape(3, 3, 1, 1), 0.0, 2.0),
    ],
)
def test_scores_by_hand(name, probabilities, progress, expected):
    assert strategy(name).score(probabilities, progress=progress) == pytest.approx(expected, abs=1e-6)


def test_her_threshold_follows_the_gaussian_ramp():
    beta = HighestEntropyRatio().beta
    assert [beta(progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx(
        [0.5 + 0.25 * math.exp(-5), 0.5 + 0.25 * math.exp(-1.25), 0.75]
    )


@pytest.mark.parametrize("name", ["lc", "he", "her"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_less_certain_scan_scores_higher(name, dtype):
    noise = torch.randn(3, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    sure, unsure = ((scale * noise).softmax(0).to(dtype) for scale in (8.0, 1.0))
    kind = strategy(name)
    assert 0 <= kind.score(sure, progress=0.5) < kind.score(unsure, progress=0.5) <= 1


@pytest.mark.parametrize("name", SCORING)
def test_probabilities_are_left_alone(name):
    probabilities = torch.rand(3, 4, 4, 4).softmax(0)
    before = probabilities.clone()
    strategy(name).score(probabilities, progress=0.3)
    assert torch.equal(probabilities, before)


@pytest.mark.parametrize("name", STRATEGIES)
def test_predictions_are_all_that_a_strategy_sees(name):
    generator = torch.Generator().manual_seed(0)
    plain, adapted = (
        Prediction(torch.rand(3, 4, 4, 4, generator=generator).softmax(0), torch.rand(5, 2, 2, 2, generator=generator))
        for _ in range(2)
    )
    found = strategy(name, rounds=False).assess(plain, adapted=adapted, progress=0.5)
    again = Prediction(plain.probabilities.clone(), plain.features.clone())
    assert found == strategy(name, rounds=False).assess(again, adapted=adapted, progress=0.5)
    assert found and all(map(math.isfinite, found.values()))


@pytest.mark.parametrize("name", ["lc", "he", "her"])
def test_highest_scores_are_chosen_and_names_break_ties(name):
    scores = {"d": 0.2, "c": 0.7, "b": 0.7, "a": 0.1}
    assert strategy(name).choose(candidates(scores, 3)) == ["b", "c", "d"]


@pytest.mark.parametrize("name", SCORING)
@given(
    scores=st.dictionaries(st.text(min_size=1, max_size=3), st.integers(0, 10**6).map(float), max_size=8),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
@settings(max_examples=25, deadline=None)
def test_a_choice_has_no_repeats_and_depends_on_scores_and_seed_alone(name, scores, seed, data):
    number = data.draw(st.integers(0, len(scores)))
    features = features_of(scores)
    known = list(features_of(["known", "too"]).values())[: data.draw(st.integers(0, 2))]
    chosen = strategy(name).choose(candidates(scores, number, seed, features, known))
    assert len(set(chosen)) == len(chosen) == number
    assert set(chosen) <= set(scores)
    backwards = dict(reversed(scores.items()))
    assert strategy(name).choose(candidates(backwards, number, seed, features, known)) == chosen
    if not strategy(name).needs_features:
        assert strategy(name).choose(candidates(scores, number, seed)) == chosen


def test_random_gives_all_the_same_chance():
    counts = Counter(Random().choose(candidates(dict.fromkeys("abcd", 0.0), 1, seed))[0] for seed in range(1000))
    assert all(count == pytest.approx(250, abs=60) for count in counts.values())
    assert len(counts) == 4


def test_foreground_makes_a_scan_likelier_in_proportion():
    scores = {"large": 600.0, "small": 200.0, "none": 0.0}
    choices = [ForegroundAwareRandom().choose(candidates(scores, 3, seed)) for seed in range(1000)]
    assert Counter(choice[0] for choice in choices)["large"] == pytest.approx(750, abs=60)
    assert all(choice[2] == "none" for choice in choices)


def test_scans_without_foreground_are_chosen_at_random():
    first = {ForegroundAwareRandom().choose(candidates(dict.fromkeys("abc", 0.0), 1, seed))[0] for seed in range(50)}
    assert first == set("abc")


@pytest.mark.parametrize("name", SCORING)
def test_bad_choices(name):
    with pytest.raises(ValueError, match=r"must lie in 0\.\.2 .* got 3"):
        strategy(name).choose(candidates({"a": 1.0, "b": 2.0}, 3))
    with pytest.raises(ValueError, match="those of b are not"):
        strategy(name).choose(candidates({"a": 1.0, "b": math.nan}, 1))


@pytest.mark.parametrize("name", ["lc", "he", "her", "foreground_random", "clasp_pe"])
@pytest.mark.parametrize("shape", [(1, 2, 2, 2), (1, 2, 2, 2, 2)])
def test_bad_probabilities(name, shape):
    with pytest.raises(ValueError, match=r"must be \[C, H, W, D\]"):
        strategy(name).score(torch.zeros(shape), progress=0.0)


def test_bad_arguments():
    with pytest.raises(
        ValueError,
        match="one of lc, he, her, random, foreground_random, coreset, kmeans, typicality, clasp_pe, got 'entropy'",
    ):
        strategy("entropy")
    with pytest.raises(ValueError, match="share must lie in"):
        LeastConfidence(0)
    with pytest.raises(ValueError, match=r"start 0\.8 and maximum 0\.7"):
        HighestEntropyRatio(start=0.8, maximum=0.7)
    with pytest.raises(ValueError, match="must not be negative"):
        ForegroundAwareRandom().choose(candidates({"a": -1.0}, 1))
    assert HighestEntropy.name == "he"


@pytest.mark.parametrize("name", SCORING)
def test_an_assessment_is_the_score_of_the_plain_prediction(name):
    generator = torch.Generator().manual_seed(0)
    plain = Prediction(torch.randn(3, 8, 8, 8, generator=generator).softmax(0))
    assert strategy(name).assess(plain) == {"score": strategy(name).score(plain.probabilities, progress=0.0)}
    later = {"score": strategy(name).score(plain.probabilities, progress=0.75)}
    assert strategy(name).assess(plain, progress=0.75) == later


@pytest.mark.parametrize("name", SCORING)
def test_rating_all_scans(name):
    ratings = strategy(name).rate(candidates({"d": 0.1, "a": 0.4, "c": 0.4, "b": 0.9}, 0))
    assert [(rating.scan, rating.score) for rating in ratings] == [("b", 0.9), ("a", 0.4), ("c", 0.4), ("d", 0.1)]
    assert all(rating.numbers == {} for rating in ratings)


def test_by_name():
    for name in SCORING:
        assert type(strategy(name)) is type(strategy(name, rounds=False, weight=0.25)) is STRATEGIES[name]
    found = strategy("assft", rounds=False, weight=0.25)
    assert isinstance(found, ActiveSourceFree) and found.weight == 0.25
    with pytest.raises(ValueError, match=r"query must be one of assft, lc, he, .* clasp_pe, got 'entropie'"):
        strategy("entropie", rounds=False)


def test_assft_does_not_query_in_rounds():
    with pytest.raises(ValueError, match=r"query must be one of lc, he, .* clasp_pe, got 'assft'"):
        strategy("assft")


def test_what_is_left_after_a_choice():
    features = features_of("abc")
    rest = candidates({"b": 1.0, "a": 2.0, "c": 3.0}, 2, 7, features, [torch.ones(4)]).after("a")
    assert list(rest.measures) == ["b", "c"] and (rest.number, rest.seed) == (1, 7)
    assert len(rest.known) == 2 and rest.known[1] is features["a"]
