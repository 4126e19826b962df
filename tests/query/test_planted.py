"""DKD and ASD find what was planted in phantoms, over seeds; the statistics by hand."""

import pytest
import torch
from planted import MARGIN, Measured, assess, combined, pick_test, picked, preference, pretrained, rise


def measured(divergence, difficulty, angle=0.0):
    features = torch.tensor([angle, 1.0])
    return Measured(dice=1.0, divergence=divergence, difficulty=difficulty, entropy=0.1, features=features)


MADE_UP = {
    "source": [measured(0.1, 0.10), measured(0.2, 0.20)],
    "unlike_source": [measured(0.9, 0.12, angle=9), measured(0.3, 0.22, angle=-9)],
    "hard_organ": [measured(0.1, 0.50), measured(0.2, 0.60)],
    "hard_background": [measured(0.4, 0.12), measured(0.2, 0.22)],
}


def test_the_statistics_by_hand():
    assert preference(MADE_UP, "divergence", "unlike_source")[0] == pytest.approx(11 / 12)
    area, p_value = preference(MADE_UP, "difficulty", "hard_organ")
    assert area == 1 and p_value < 0.04
    assert rise(MADE_UP, "difficulty") == (pytest.approx(0.02 / 0.4), 0.25, 0.25)
    assert picked(MADE_UP, 2) == {"source": 0, "unlike_source": 2, "hard_organ": 0, "hard_background": 0}
    assert pick_test([MADE_UP, MADE_UP], 2) == ([2, 2], pytest.approx(1 / 256))


@pytest.fixture(scope="module")
def seeds():
    """What is measured in each group, for networks and patients of two seeds."""
    return [assess(pretrained(seed, iterations=250), seed, scans=8) for seed in (0, 1)]


@pytest.mark.slow
def test_divergence_prefers_what_is_unlike_the_source(seeds):
    areas, p_values = zip(*(preference(groups, "divergence", "unlike_source") for groups in seeds), strict=True)
    assert min(areas) > 0.8 and combined(p_values) < 0.001
    hits, p_value = pick_test(seeds, number=8)
    assert min(hits) >= 4 and p_value < 0.001


@pytest.mark.slow
def test_difficulty_prefers_a_hard_organ(seeds):
    areas, p_values = zip(*(preference(groups, "difficulty", "hard_organ") for groups in seeds), strict=True)
    assert min(areas) > 0.8 and combined(p_values) < 0.001


@pytest.mark.slow
def test_difficulty_ignores_a_hard_background(seeds):
    shares, _, ignored = zip(*(rise(groups, "difficulty") for groups in seeds), strict=True)
    assert max(shares) < MARGIN and combined(ignored) < 0.01
    naive_shares, rises, _ = zip(*(rise(groups, "entropy") for groups in seeds), strict=True)
    assert combined(rises) < 0.01, "the background is hard"
    assert sum(shares) < sum(naive_shares), "the mean entropy of the whole scan rises more"
