"""When rounds take place."""

import json

import pytest

from common.handlers import Rounds, SpreadRounds
from tests.bundles.workflows import ROOT


def test_iterations_of_the_rounds():
    rounds = Rounds(first=300, every=200, last=900)
    assert [iteration for iteration in range(1, 1200) if rounds.due(iteration)] == [300, 500, 700, 900]
    assert [rounds.number(iteration) for iteration in (300, 500, 900)] == [1, 2, 4]


def test_no_round_before_the_last_one():
    assert not any(Rounds(first=5, every=5, last=0).due(iteration) for iteration in range(100))


@pytest.mark.parametrize(("first", "every"), [(0, 1), (1, 0)])
def test_bad_settings(first, every):
    with pytest.raises(ValueError, match=f"got {first} and {every}"):
        Rounds(first=first, every=every, last=10)


def test_rounds_spread_over_a_span_by_hand():
    """GM-ABS's public code, with 10,000 iterations: queries every 200 from 800 on, pseudo-labels every 600 from 600."""
    assert SpreadRounds(count=8, span=(0.08, 0.22), max_iterations=10_000).iterations == tuple(range(800, 2201, 200))
    assert SpreadRounds(count=13, span=(0.06, 0.78), max_iterations=10_000).iterations == tuple(range(600, 7801, 600))
    assert SpreadRounds(count=1, span=(0.5, 0.9), max_iterations=10).iterations == (5,)
    assert SpreadRounds(count=0, span=(0.5, 0.9), max_iterations=1).iterations == ()
    short = SpreadRounds(count=4, span=(0.1, 0.2), max_iterations=10)
    assert short.iterations == (1, 2, 3, 4)
    assert [short.number(iteration) for iteration in (1, 4)] == [1, 4] and not short.due(5)
    assert SpreadRounds(count=3, span=(0.9, 1.0), max_iterations=10).iterations == (7, 8, 9)


@pytest.mark.parametrize("length", [*range(1, 60), *range(60, 30_001, 499), 30_000])
@pytest.mark.parametrize("bundle", ["fmabs_la", "fmabs_brats"])
def test_any_length_of_training_has_all_its_rounds_or_is_refused(bundle, length):
    content = json.loads((ROOT / "bundles" / bundle / "configs" / "train.json").read_text())
    queries = -(-(content["budget"] - round(content["budget"] * content["initial_share"])) // content["per_round"])
    for count, span in (
        (queries, content["query_span"]),
        (content["pseudo_label_rounds"], content["pseudo_label_span"]),
    ):
        if length <= count:
            with pytest.raises(ValueError, match=f"max_iterations must be at least {count + 1} for {count} rounds"):
                SpreadRounds(count=count, span=span, max_iterations=length)
            continue
        found = SpreadRounds(count=count, span=span, max_iterations=length)
        assert len(found.iterations) == count and list(found.iterations) == sorted(set(found.iterations))
        assert found.iterations[0] >= 1 and found.iterations[-1] < length
        assert [found.number(iteration) for iteration in range(1, length + 1) if found.due(iteration)] == list(
            range(1, count + 1)
        )
        if length >= 1000:
            assert found.iterations[0] == round(span[0] * length) and found.iterations[-1] == round(span[1] * length)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"span": (0.5, 0.2)}, "0 <= first <= last <= 1"),
        ({"span": (0.5,)}, "two shares"),
        ({"span": (0.5, 1.2)}, "0 <= first <= last <= 1"),
        ({"count": -1}, "the number of query rounds must not be negative, got -1"),
        ({"count": 10}, "max_iterations must be at least 11 for 10 query rounds, got 10"),
    ],
)
def test_spans_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        SpreadRounds(**({"count": 2, "span": (0.1, 0.9), "max_iterations": 10, "what": "query rounds"} | changes))
