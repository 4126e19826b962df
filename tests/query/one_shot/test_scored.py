"""Strategies of an active training, for a query that spends its budget at once."""

import pytest
import torch

from common.query import STRATEGIES, strategy
from common.query.one_shot import ActiveSourceFree, Assessment, Prediction, ScoredQuery, sample_strategy


def scored(score, *features):
    return Assessment({"score": score}, torch.tensor(features), foreground=1)


POOL = {"d": scored(0.1, 0.0, 0.0), "a": scored(0.4, 1.0, 0.0), "c": scored(0.4, 5.0, 0.0), "b": scored(0.9, 2.0, 2.0)}


def unwanted():
    raise AssertionError("nothing is to be adapted")


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_chooses_what_the_strategy_chooses(name):
    scores = {scan: found.numbers["score"] for scan, found in POOL.items()}
    features = {scan: found.features for scan, found in POOL.items()}
    known = [torch.tensor([4.0, 1.0])]
    for seed in range(5):
        query = sample_strategy(name, seed=seed)
        for given in ((), known):
            picks = query.choose(POOL, 3, known=given)
            expected = strategy(name).choose(scores, 3, seed=seed, features=features, known=given)
            assert [pick.scan for pick in picks] == expected
            assert [pick.score for pick in picks] == [scores[scan] for scan in expected]


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_assessment_is_the_score_of_the_plain_prediction_at_the_start(name):
    generator = torch.Generator().manual_seed(0)
    plain = Prediction(torch.randn(3, 8, 8, 8, generator=generator).softmax(0), torch.rand(5, 2, 2, 2))
    found = sample_strategy(name).assess(plain, unwanted)
    assert found.numbers == {"score": strategy(name).score(plain.probabilities, progress=0.0)}
    assert found.features.shape == (10,)
    assert found.foreground == (plain.probabilities[0] < plain.probabilities[1:].amax(dim=0)).sum()


def test_rating_all_scans():
    ratings = ScoredQuery(strategy("he")).rate(POOL)
    assert [(rating.scan, rating.score) for rating in ratings] == [("b", 0.9), ("a", 0.4), ("c", 0.4), ("d", 0.1)]
    assert all(rating.numbers == {} for rating in ratings)


def test_by_name():
    assert isinstance(sample_strategy("assft", weight=0.25), ActiveSourceFree)
    assert sample_strategy("assft", weight=0.25).weight == 0.25
    for name in STRATEGIES:
        query = sample_strategy(name, seed=3, weight=0.25)
        assert (query.name, query.seed, type(query.strategy)) == (name, 3, STRATEGIES[name])
    with pytest.raises(ValueError, match=r"query must be one of assft, lc, he, .* clasp_pe, got 'entropie'"):
        sample_strategy("entropie")
