"""Wilcoxon's test against SciPy and against all signs; Holm's correction by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import rankdata, wilcoxon

from common.metrics import holm, least_p, signed_rank_p


def over_all_signs(differences: list[float]) -> float:
    """Share of all signs for which the sum of ranks lies at least as far from its middle."""
    given = np.array([number for number in differences if number])
    ranks = rankdata(np.abs(given))
    seen = abs(ranks[given > 0].sum() - ranks.sum() / 2)
    signs = np.array(list(product((0, 1), repeat=len(given))))
    return float(np.mean(np.abs(signs @ ranks - ranks.sum() / 2) >= seen - 1e-9))


def test_by_hand() -> None:
    """Ranks 1 to 4, of which that of rank 1 is negative: 2 of 16 signs give at most 1, 2 at least 9."""
    assert signed_rank_p([-1, 2, 3, 4]) == 4 / 16


@pytest.mark.parametrize("seed", range(5))
def test_without_ties(seed: int) -> None:
    differences = list(np.random.default_rng(seed).normal(0.01, 0.02, size=9))
    assert signed_rank_p(differences) == pytest.approx(over_all_signs(differences))
    assert signed_rank_p(differences) == pytest.approx(wilcoxon(differences).pvalue)


@pytest.mark.parametrize("seed", range(5))
def test_with_ties_and_zeros(seed: int) -> None:
    differences = list(np.random.default_rng(seed).integers(-3, 6, size=10) / 100)
    assert signed_rank_p(differences) == pytest.approx(over_all_signs(differences))


def test_many_scans() -> None:
    differences = np.random.default_rng(0).normal(0.01, 0.02, size=80)
    assert signed_rank_p(differences) == pytest.approx(wilcoxon(differences, method="asymptotic").pvalue)


def test_sides_do_not_matter() -> None:
    differences = np.array([0.1, -0.02, 0.05, 0.07, 0.03])
    assert signed_rank_p(differences) == signed_rank_p(-differences)


def test_no_difference() -> None:
    assert signed_rank_p([0.0, 0.0]) == 1
    assert signed_rank_p([]) == 1


@pytest.mark.parametrize("scans", [1, 2, 5, 6, 12])
def test_the_least_p_is_that_of_one_side_winning_everywhere(scans: int) -> None:
    assert least_p(scans) == pytest.approx(signed_rank_p([0.01 * number for number in range(1, scans + 1)]))
    assert least_p(scans) == pytest.approx(signed_rank_p([0.01] * scans))


def test_equal_numbers_up_to_rounding_are_ties() -> None:
    assert signed_rank_p([0.3 - 0.1, 0.2, -0.2, 0.5]) == signed_rank_p([0.2, 0.2, -0.2, 0.5])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, 0.02, 0.5, 0.9]) == pytest.approx([0.04, 0.06, 1, 1])
    assert holm([0.04]) == [0.04]
    assert holm([]) == []
