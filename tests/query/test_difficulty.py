import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.filters import threshold_otsu

from common.query import HighestEntropy, anatomical_difficulty, region_of_interest


def bits(p):
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p) if 0 < p < 1 else 0.0


def two_classes(p):
    return torch.stack([1 - p, p])


def test_region_by_hand():
    probability = torch.zeros(1, 1, 9)
    probability[..., 3:5] = torch.tensor([0.9, 0.8])
    probability[..., 7:] = torch.tensor([0.2, 0.1])  # above the floor, below the threshold
    expected = [[3, 4], [2, 3, 4, 5], [1, 2, 3, 4, 5, 6]]
    for dilation, places in enumerate(expected):
        assert region_of_interest(probability, dilation=dilation).flatten().nonzero().flatten().tolist() == places


def test_difficulty_by_hand():
    probability = torch.zeros(1, 1, 9)
    probability[..., 3:5] = torch.tensor([0.9, 0.7])
    probability[..., 7] = 0.06
    given = two_classes(probability)
    assert anatomical_difficulty(given, dilation=0) == pytest.approx((bits(0.9) + bits(0.7)) / 2, abs=1e-6)
    assert anatomical_difficulty(given, dilation=1) == pytest.approx((bits(0.9) + bits(0.7)) / 4, abs=1e-6)


def test_classes_count_alike_unless_they_are_not_there():
    probabilities = torch.zeros(4, 1, 1, 12)
    probabilities[1, ..., :6] = 0.9
    probabilities[2, ..., 8] = 0.6
    probabilities[3] = 0.04  # nowhere above the floor
    probabilities[0] = 1 - probabilities[1:].sum(0)
    assert anatomical_difficulty(probabilities, dilation=0) == pytest.approx((bits(0.9) + bits(0.6)) / 2, abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dilation", [0, 1, 3])
def test_equals_a_plain_computation(seed, dilation):
    generator = torch.Generator().manual_seed(seed)
    probabilities = (torch.randn(3, 9, 8, 7, generator=generator) * 2).softmax(0)
    expected = []
    for probability in probabilities[1:].numpy():
        looked_at = probability[probability > 0.05].astype(float)
        upper = looked_at > threshold_otsu(looked_at)
        region = probability > (looked_at[upper].mean() + looked_at[~upper].mean()) / 2
        if dilation:
            region = ndimage.binary_dilation(region, np.ones([2 * dilation + 1] * 3))
        np.testing.assert_array_equal(region_of_interest(torch.from_numpy(probability), dilation=dilation), region)
        expected.append(np.mean([bits(p) for p in probability[region].tolist()]))
    assert anatomical_difficulty(probabilities, dilation=dilation) == pytest.approx(np.mean(expected), abs=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.05])
def test_without_foreground(value):
    probability = torch.full((3, 4, 5), value)
    assert not region_of_interest(probability, floor=0.05 + 1e-6).any()
    assert anatomical_difficulty(two_classes(probability), floor=0.05 + 1e-6) == 0


@pytest.mark.parametrize(
    "probability",
    [
        torch.full((3, 4, 5), 0.06),  # no threshold separates anything
        torch.full((3, 4, 5), 1.0),
        torch.arange(60.0).reshape(3, 4, 5) / 60 * 0.0501 + 0.001,
        torch.nn.functional.one_hot(torch.tensor(7), 60).reshape(3, 4, 5) * 0.051,
        torch.nn.functional.one_hot(torch.tensor(7), 60).reshape(3, 4, 5) * 1e-7 + 0.5,
        torch.where(torch.arange(60).reshape(3, 4, 5) > 7, 1.0, torch.tensor(1.0).nextafter(torch.tensor(0.0))),
        torch.where(torch.arange(60).reshape(3, 4, 5) > 7, 0.3, torch.tensor(0.3).nextafter(torch.tensor(0.0))),
    ],
)
def test_never_empty_above_the_floor(probability):
    for dilation in (0, 2):
        assert region_of_interest(probability, dilation=dilation).any()
    assert math.isfinite(anatomical_difficulty(two_classes(probability)))


def test_half_precision():
    probabilities = (torch.randn(2, 6, 6, 6, generator=torch.Generator().manual_seed(0)) * 2).softmax(0)
    assert anatomical_difficulty(probabilities.bfloat16()) == pytest.approx(
        anatomical_difficulty(probabilities.bfloat16().float()), abs=1e-6
    )


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"must be \[C, H, W, D\]"):
        anatomical_difficulty(torch.zeros(1, 2, 2, 2))
    with pytest.raises(ValueError, match=r"must be \[H, W, D\], got \(2, 2\)"):
        region_of_interest(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="dilation must be 0 or more voxels, got -1"):
        region_of_interest(torch.zeros(2, 2, 2), dilation=-1)
    with pytest.raises(ValueError, match=r"floor must lie in 0\.\.1, got 2"):
        region_of_interest(torch.zeros(2, 2, 2), floor=2)


def planted(seed, *, organ=6.0, background=-6.0):
    """A ball's foreground probability: logits of the organ and of a third of the background, in noise."""
    generator = torch.Generator().manual_seed(seed)
    grid = torch.stack(torch.meshgrid(*[torch.arange(20.0)] * 3, indexing="ij"))
    centre = 8 + torch.rand(3, 1, 1, 1, generator=generator) * 3
    ball = (grid - centre).norm(dim=0) < 4
    logits = torch.where(ball, organ, -6.0)
    far = ((grid - centre).norm(dim=0) > 8) & (grid[0] < 12)
    logits = torch.where(far, background, logits) + 0.25 * torch.randn(20, 20, 20, generator=generator)
    return two_classes(logits.sigmoid())


def share_of_wins(many, others):
    return np.mean([one > other for one in many for other in others])


def test_hard_at_the_organ_counts_and_hard_in_the_background_does_not():
    groups = {"easy": {}, "organ": {"organ": 0.8}, "background": {"background": -1.2}}
    scores, entropies = (
        {
            name: [score(planted(seed + 100 * index, **settings)) for seed in range(12)]
            for index, (name, settings) in enumerate(groups.items())
        }
        for score in (anatomical_difficulty, lambda given: HighestEntropy().score(given, progress=0))
    )
    # the plain entropy falls for the background, the difficulty does not
    assert share_of_wins(entropies["background"], entropies["organ"]) == 1
    assert share_of_wins(scores["organ"], scores["background"]) == 1
    assert share_of_wins(scores["organ"], scores["easy"]) == 1
    assert np.mean(scores["background"]) == pytest.approx(np.mean(scores["easy"]), abs=0.05 * np.mean(scores["organ"]))
