"""Settings that are refused before anything is computed."""

import re

import pytest
import torch
from monai.networks.nets import SwinUNETR
from torch import nn

from common.checks import (
    check_checkpoint,
    check_largest_volumes,
    check_one_of,
    check_window,
    yes_or_no,
)


def test_one_of():
    check_one_of("annotator", "folder", {"oracle": 1, "folder": 2})
    with pytest.raises(ValueError, match="annotator must be one of oracle, folder, got 'me'"):
        check_one_of("annotator", "me", {"oracle": 1, "folder": 2})


@pytest.mark.parametrize("given", [True, 1, "True", "true", "TRUE", " true ", "1"])
def test_yes(given):
    assert yes_or_no("propagate", given) is True


@pytest.mark.parametrize("given", [False, 0, "False", "false", "FALSE", "0"])
def test_no(given):
    assert yes_or_no("propagate", given) is False


@pytest.mark.parametrize("given", [None, "", "no", 2, 0.5, [], "None"])
def test_neither_yes_nor_no(given):
    with pytest.raises(
        ValueError, match=r"propagate must be True or False \(or 1 or 0\), got " + re.escape(repr(given))
    ):
        yes_or_no("propagate", given)


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "1"])
def test_a_number_of_components_that_is_none(number):
    for fine in (None, 1, 2):
        check_largest_volumes(fine)
    with pytest.raises(ValueError, match=r"whole number of at least 1 \(or None\), got " + re.escape(repr(number))):
        check_largest_volumes(number)


@pytest.mark.parametrize(
    ("roi_size", "channels", "words"),
    [
        ((64, 48, 32), 1, r"SwinUNETR .* roi_size \[64, 48, 32\] and channels 1: .*divisible"),
        ((32, 32, 32), 1, "more than 1 spatial element"),
        ((64, 32, 32), 4, "channels 4: .*channels"),
    ],
)
def test_a_window_that_the_network_cannot_take(roi_size, channels, words):
    network = SwinUNETR(in_channels=1, out_channels=2, window_size=4, feature_size=12)
    with pytest.raises(ValueError, match=words) as caught:
        check_window(network, roi_size, channels)
    assert caught.value.__cause__ is None
    check_window(network, (64, 32, 32), 1)


def test_trying_a_window_leaves_the_network_as_it_is():
    network = nn.Sequential(nn.BatchNorm3d(2), nn.Dropout3d(), nn.Conv3d(2, 2, 3))
    network[1].eval()
    before = {name: it.clone() for name, it in network.state_dict().items()}
    state = torch.get_rng_state()
    check_window(network, (4, 4, 4), 2)
    assert all(torch.equal(it, before[name]) for name, it in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert [layer.training for layer in network.modules()] == [True, True, False, True]


def test_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.pt: expected the weights"):
        check_checkpoint(tmp_path / "model.pt")
