"""When rounds take place."""

import pytest

from common.handlers import Rounds


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
