import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.schedules import GaussianRampDown, GaussianRampUp, PolynomialDecay, SigmoidRampUp, value

E5, E125 = math.exp(-5), math.exp(-1.25)  # at the start, and half-way


@pytest.mark.parametrize(
    ("schedule", "iteration", "expected"),
    [
        (GaussianRampUp(0.1, 20_000), 0, 0.1 * E5),
        (GaussianRampUp(0.1, 20_000), 10_000, 0.1 * E125),
        (GaussianRampUp(0.1, 20_000), 20_000, 0.1),
        (GaussianRampUp(0.1, 20_000), 30_000, 0.1),
        (GaussianRampUp(0.75, 100, start=0.5), 50, 0.5 + 0.25 * E125),
        (GaussianRampUp(0.75, 100, start=0.5), 100, 0.75),
        (GaussianRampDown(0.5, 20_000), 0, 0.5 * (1 - E5)),
        (GaussianRampDown(0.5, 20_000), 10_000, 0.5 * (1 - E125)),
        (GaussianRampDown(0.5, 20_000), 20_000, 0.0),
        (GaussianRampDown(0.5, 20_000), 20_001, 0.0),
        (SigmoidRampUp(0.1, 6_000, every=150), 149, 0.1 * E5),
        (SigmoidRampUp(0.1, 6_000, every=150), 150, 0.1 * math.exp(-5 * (39 / 40) ** 2)),
        (SigmoidRampUp(0.1, 6_000, every=150), 3_149, 0.1 * E125),
        (SigmoidRampUp(0.1, 6_000, every=150), 9_999, 0.1),
        (PolynomialDecay(100), 0, 1.0),
        (PolynomialDecay(100), 50, 0.5**0.9),
        (PolynomialDecay(100, power=2), 75, 0.0625),
        (PolynomialDecay(100), 101, 0.0),
    ],
)
def test_hand_worked(schedule, iteration, expected):
    assert schedule(iteration) == pytest.approx(expected)


def test_value_takes_a_number_or_a_schedule():
    assert value(2, 7) == 2.0
    assert value(lambda iteration: iteration / 2, 7) == 3.5


@given(length=st.integers(1, 1000), first=st.integers(0, 2000), second=st.integers(0, 2000))
def test_ramps_are_monotonous_and_bounded(length, first, second):
    early, late = sorted((first, second))
    for up in (GaussianRampUp(2.0, length), SigmoidRampUp(2.0, length, every=7)):
        assert 0 < up(early) <= up(late) <= 2
    for down in (GaussianRampDown(2.0, length), PolynomialDecay(length)):
        assert 2 >= down(early) >= down(late) >= 0


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: GaussianRampUp(1, 0), "length"),
        (lambda: GaussianRampDown(1, 0), "length"),
        (lambda: SigmoidRampUp(1, 0), "length"),
        (lambda: SigmoidRampUp(1, 5, every=0), "every"),
        (lambda: PolynomialDecay(0), "length"),
    ],
)
def test_bad_arguments(make, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1 iteration, got 0"):
        make()


def test_polynomial_decay_after_a_warm_up():
    decay = PolynomialDecay(length=10, power=1.0, warm_up=4)
    assert [decay(iteration) for iteration in (0, 1, 3, 4, 10)] == pytest.approx([0.25, 0.45, 0.7, 0.6, 0.0])
    with pytest.raises(ValueError, match="warm_up must be 0 or more iterations, got -1"):
        PolynomialDecay(length=10, warm_up=-1)
