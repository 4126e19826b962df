"""Bootstrap intervals against a loop, against SciPy, and where they can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from common.metrics import Interval, bootstrap_interval

VALUES = [0.91, 0.88, 0.5, 0.93, 0.87, 0.76, 0.9]


def test_against_a_loop() -> None:
    generator, means = np.random.default_rng(3), []
    for _ in range(500):
        means.append(sum(VALUES[generator.integers(7)] for _ in range(7)) / 7)
    means.sort()
    low, high = bootstrap_interval(VALUES, resamples=500, seed=3)
    # of 500 sorted numbers, the 0.025 quantile lies at place 0.025 * 499 = 12.475, the other at 486.525
    assert low == pytest.approx(means[12] + 0.475 * (means[13] - means[12]))
    assert high == pytest.approx(means[486] + 0.525 * (means[487] - means[486]))


def test_against_scipy() -> None:
    expected = bootstrap((VALUES,), np.mean, method="percentile", n_resamples=20_000, random_state=1)
    found = bootstrap_interval(VALUES, resamples=20_000)
    assert found == pytest.approx(expected.confidence_interval, abs=0.003)


def test_two_scans_by_hand() -> None:
    """Means of two draws are 0, 0.5 and 1, with 1/4, 1/2 and 1/4: the middle 40 % are all 0.5, the middle 60 % not."""
    assert bootstrap_interval([0, 1], confidence=0.4) == Interval(0.5, 0.5)
    assert bootstrap_interval([0, 1], confidence=0.6) == Interval(0.0, 1.0)


def test_the_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    samples = generator.normal(0.8, 0.1, size=(400, 40))
    found = [bootstrap_interval(sample, resamples=400) for sample in samples]
    assert 0.9 < np.mean([low <= 0.8 <= high for low, high in found]) < 0.98


def test_undefined_numbers_are_left_out() -> None:
    assert bootstrap_interval([*VALUES, float("nan")]) == bootstrap_interval(VALUES)
    assert bootstrap_interval([0.5, float("nan")]) is None
    assert bootstrap_interval([]) is None


@pytest.mark.parametrize(("settings", "message"), [({"confidence": 1}, "confidence"), ({"resamples": 0}, "resamples")])
def test_bad_arguments(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(VALUES, **settings)
