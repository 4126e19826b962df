import math
from collections import Counter

import pytest
import torch

from common.query import Candidates, ClassStratifiedPowerEntropy


def three_classes(*voxels):
    """``[3, 1, 1, n]``"""
    return torch.tensor(voxels).T.reshape(3, 1, 1, -1)


def nats(*probabilities):
    return -sum(p * math.log(p) for p in probabilities if p > 0) / math.log(3)


SURE, TORN, SMALL = (0.1, 0.9, 0.0), (0.4, 0.6, 0.0), (0.3, 0.2, 0.5)
BACKGROUND = (0.5, 0.5 - 1e-3, 1e-3)


def test_score_by_hand():
    given = three_classes(SURE, SURE, TORN, SMALL, BACKGROUND, BACKGROUND)
    balanced = ((2 * nats(*SURE) + nats(*TORN)) / 3 + nats(*SMALL)) / 2
    kind = ClassStratifiedPowerEntropy()
    assert kind.score(given, progress=0) == pytest.approx(math.log(balanced), abs=1e-6)
    assert kind.score(given, progress=0.5) == pytest.approx(10 * math.log(balanced), abs=1e-5)
    assert kind.score(given, progress=1) == pytest.approx(100 * math.log(balanced), abs=1e-4)


def test_a_class_that_is_nowhere_counts_as_certain():
    without = three_classes(SURE, TORN, BACKGROUND)
    expected = math.log((nats(*SURE) + nats(*TORN)) / 4)
    assert ClassStratifiedPowerEntropy().score(without, progress=0) == pytest.approx(expected, abs=1e-6)


def test_predictions_without_foreground_have_a_finite_score():
    kind = ClassStratifiedPowerEntropy()
    assert kind.score(three_classes(BACKGROUND), progress=0) == pytest.approx(math.log(kind.LEAST))
    assert kind.score(torch.full((2, 2, 2, 2), 0.5), progress=1) == pytest.approx(100 * math.log(kind.LEAST))


def test_chances_follow_the_power_of_the_entropy():
    for beta, abundance in ((1.0, 0.5), (2.0, 4 / 6), (100.0, 1.0)):
        scores = {"b": beta * math.log(0.4), "a": beta * math.log(0.2), "c": beta * math.log(0.2)}
        measures = {scan: {"score": score} for scan, score in scores.items()}
        kind = ClassStratifiedPowerEntropy()
        counts = Counter(kind.choose(Candidates(measures, 1, seed))[0] for seed in range(1000))
        assert counts["b"] / 1000 == pytest.approx(abundance, abs=0.05)


def test_bad_arguments():
    for start, end in ((0, 1), (2, 1), (1, math.inf)):
        with pytest.raises(ValueError, match=f"got start {start} and end {end}"):
            ClassStratifiedPowerEntropy(start, end)
