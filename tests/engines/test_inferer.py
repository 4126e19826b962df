"""Sliding windows: positions and averages against the loop that the literature's code runs."""

import math

import pytest
import torch
from torch import nn

from common.engines import ProbabilityInferer
from common.networks import VNet


class LastWindow(nn.Module):
    """A network whose answer depends on the place within the window, so that every window position shows."""

    def __init__(self, size):
        super().__init__()
        self.ramp = torch.linspace(0, 1, math.prod(size)).view(1, 1, *size)

    def forward(self, x):
        return torch.cat([x, x * self.ramp], dim=1)


def window_by_window(image, answer, size, stride):
    """The research code's loop: last window moved back to the border, answers of two channels averaged."""
    shape = image.shape[2:]
    total = torch.zeros(1, 2, *shape)
    count = torch.zeros(shape)
    steps = [math.ceil((n - w) / s) + 1 for n, w, s in zip(shape, size, stride, strict=True)]
    for i in range(steps[0]):
        for j in range(steps[1]):
            for k in range(steps[2]):
                start = [min(s * p, n - w) for s, p, n, w in zip(stride, (i, j, k), shape, size, strict=True)]
                at = tuple(slice(a, a + w) for a, w in zip(start, size, strict=True))
                total[(..., *at)] += answer(image[(..., *at)])
                count[at] += 1
    return total / count


@pytest.mark.parametrize("shape", [(16, 16, 16), (23, 17, 20), (30, 16, 19)])
@pytest.mark.parametrize("stride", [(3, 5, 4), (16, 16, 16), (1, 8, 7)])
def test_equals_the_window_by_window_loop(shape, stride):
    image = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    network = LastWindow((16, 16, 16))
    found = ProbabilityInferer((16, 16, 16), stride, sw_batch_size=3)(image, network)
    torch.testing.assert_close(found, window_by_window(image, lambda x: network(x).softmax(1), (16, 16, 16), stride))


def test_stride_of_the_paper_is_not_lost_to_rounding():
    overlap = ProbabilityInferer((112, 112, 80), (18, 18, 4)).overlap
    assert [int(size * (1 - share)) for size, share in zip((112, 112, 80), overlap, strict=True)] == [18, 18, 4]


def test_scan_smaller_than_the_window_is_padded_and_cropped_back():
    image = torch.randn(1, 1, 9, 16, 5)
    found = ProbabilityInferer((16, 16, 16))(image, LastWindow((16, 16, 16)))
    assert found.shape == (1, 2, 9, 16, 5)
    torch.testing.assert_close(found.sum(1), torch.ones(1, 9, 16, 5))


@pytest.mark.parametrize("stride", [(0, 4, 4), (17, 4, 4), (4, 4)])
def test_bad_stride(stride):
    with pytest.raises(ValueError, match="stride must lie in"):
        ProbabilityInferer((16, 16, 16), stride)


class PlacedFeatures(nn.Module):
    """Features that depend on the place within the window, and a head."""

    def __init__(self, size):
        super().__init__()
        self.place = LastWindow(size)
        self.head = nn.Conv3d(2, 3, kernel_size=1)

    def features(self, x):
        return self.place(x)

    def forward(self, x):
        return self.head(self.features(x))


@pytest.mark.parametrize("shape", [(16, 16, 16), (23, 17, 20), (9, 16, 5)])
def test_features_beside_the_probabilities(shape):
    torch.manual_seed(0)
    image, network = torch.randn(1, 1, *shape), PlacedFeatures((16, 16, 16)).eval()
    inferer = ProbabilityInferer((16, 16, 16), (8, 5, 16), sw_batch_size=3)
    probabilities, features = inferer.with_features(image, network)
    assert torch.equal(probabilities, inferer(image, network))
    assert features.shape == (1, 2, *shape) and features.dtype == torch.float32
    if min(shape) >= 16:
        torch.testing.assert_close(features, window_by_window(image, network.features, (16, 16, 16), (8, 5, 16)))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_features_of_the_vnet(precision):
    torch.manual_seed(0)
    image, network = torch.randn(1, 1, 16, 20, 16), VNet(1, 2, width=2).eval()
    inferer = ProbabilityInferer((16, 16, 16), precision=precision)
    probabilities, features = inferer.with_features(image, network)
    assert torch.equal(probabilities, inferer(image, network))
    assert features.shape == (1, 2, 16, 20, 16) and features.dtype == torch.float32 and features.min() >= 0


def test_features_of_a_network_without_any():
    inferer = ProbabilityInferer((16, 16, 16))
    with pytest.raises(ValueError, match=r"features .* and head .*, but LastWindow lacks one of them"):
        inferer.with_features(torch.zeros(1, 1, 16, 16, 16), LastWindow((16, 16, 16)))
    buffered = ProbabilityInferer((16, 16, 16), buffer_steps=2)
    with pytest.raises(ValueError, match="buffer_steps must be None to get features, got 2"):
        buffered.with_features(torch.zeros(1, 1, 16, 16, 16), VNet(1, 2, width=2))
