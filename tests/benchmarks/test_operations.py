"""Operations and memory of networks that are small enough to count by hand."""

import torch
from operations import kept, operations
from torch import nn


def test_operations_of_a_convolution() -> None:
    """A multiplication and an addition for each weight at each voxel."""
    network = nn.Conv3d(2, 5, 3, padding=1)
    assert operations(network, torch.zeros(1, 2, 4, 6, 8)) == 2 * (2 * 5 * 27) * (4 * 6 * 8) / 1e9


def test_operations_of_a_linear_layer() -> None:
    assert operations(nn.Linear(3, 7), torch.zeros(10, 3)) == 2 * 3 * 7 * 10 / 1e9


def test_what_is_kept_is_counted_once_and_without_weights() -> None:
    """The input for the layer's weights and, for both functions after it, their own outputs."""
    network = nn.Sequential(nn.Linear(3, 7, bias=False), nn.Sigmoid(), nn.Tanh())
    assert kept(network, torch.zeros(10, 3)) == 4 * (10 * 3 + 10 * 7 + 10 * 7) / 1e9


def test_nothing_is_computed_on_meta() -> None:
    with torch.device("meta"):
        network, inputs = nn.Conv2d(1, 1, 1, bias=False), torch.zeros(1, 1, 10**4, 10**4)
    assert operations(network, inputs) == 0.2
    assert kept(network, inputs) == 0.4
