"""The query study's arithmetic, against numbers worked out by hand."""

import math

import pytest
from query_comparison import area_under_curve, areas, curve, wins


def test_curve_by_hand():
    scores = {(0, 4): 0.6, (1, 4): 0.8, (0, 2): 0.5, (1, 2): 0.5}
    budgets, means, spreads = curve(scores)
    assert budgets == [2, 4]
    assert means == pytest.approx([0.5, 0.7])
    assert spreads == pytest.approx([0.0, math.sqrt(0.02)])


def test_each_doubling_of_the_budget_counts_alike():
    assert area_under_curve([2, 4, 8], [0.2, 0.4, 0.8]) == pytest.approx((0.3 + 0.6) / 2)
    assert area_under_curve([1, 2, 16], [0.0, 1.0, 1.0]) == pytest.approx((0.5 + 3.0) / 4)
    assert area_under_curve([3], [0.7]) == 0.7
    assert areas({(1, 4): 1.0, (0, 2): 0.0, (0, 4): 1.0, (1, 2): 1.0}) == pytest.approx([0.5, 1.0])


def test_wins_by_hand():
    first = {(0, 2): 0.5, (0, 4): 0.9, (1, 2): 0.4}
    second = {(0, 2): 0.4, (0, 4): 0.9, (1, 4): 0.1}
    shares = wins({"a": first, "b": second})
    assert shares == {("a", "b"): 0.75, ("b", "a"): 0.25}
    assert wins({"a": {(0, 2): 0.5}, "b": {(1, 2): 0.5}}) == {}


@pytest.mark.parametrize(("budgets", "scores"), [([], []), ([2, 2], [0.1, 0.2]), ([4, 2], [0.1, 0.2]), ([2], [])])
def test_budgets_must_rise(budgets, scores):
    with pytest.raises(ValueError, match="budgets must rise and be as many as scores"):
        area_under_curve(budgets, scores)
