"""The V-Net: its size, its shapes, and that it can be exported."""

import pytest
import torch

from common.networks import VNet


def test_parameters_are_those_of_the_literature():
    assert sum(parameter.numel() for parameter in VNet(1, 2).parameters()) == 9_448_866


@pytest.mark.parametrize(("channels", "classes", "shape"), [(1, 2, (16, 16, 16)), (4, 4, (32, 16, 48))])
def test_shapes(channels, classes, shape):
    logits = VNet(channels, classes, width=4)(torch.zeros(2, channels, *shape))
    assert logits.shape == (2, classes, *shape)


def test_size_not_divisible_by_16():
    with pytest.raises(ValueError, match="divisible by 16, got 16 x 24 x 16"):
        VNet(1, 2, width=2)(torch.zeros(1, 1, 16, 24, 16))


def test_dropout_at_the_two_deep_ends():
    network = VNet(1, 2, width=2)
    calls = []
    network.dropout.register_forward_hook(lambda module, inputs, output: calls.append(output.shape[1:]))
    network(torch.zeros(2, 1, 32, 32, 32))
    assert calls == [(32, 2, 2, 2), (2, 32, 32, 32)]


def test_translation_by_sixteen_voxels_moves_the_result():
    torch.manual_seed(0)
    network = VNet(1, 2, width=2).eval()
    image = torch.zeros(1, 1, 96, 16, 16)
    image[:, :, 40:44, 6:10, 6:10] = 1
    found, moved = network(image), network(image.roll(16, dims=2))
    torch.testing.assert_close(found[:, :, 24:56], moved[:, :, 40:72], atol=1e-4, rtol=1e-4)


def test_torchscript_gives_the_same():
    network = VNet(1, 2, width=2).eval()
    image = torch.randn(1, 1, 16, 32, 16)
    scripted = torch.jit.script(network)
    torch.testing.assert_close(scripted(image), network(image))
    torch.testing.assert_close(scripted.features(image), network.features(image))


def test_the_logits_are_the_head_of_the_features():
    network = VNet(1, 3, width=2).eval()
    image = torch.randn(2, 1, 16, 32, 16)
    features = network.features(image)
    assert features.shape == (2, 2, 16, 32, 16)
    assert features.min() >= 0
    assert torch.equal(network.head(features), network(image))


def test_features_come_before_the_last_dropout():
    network = VNet(1, 2, width=2)
    calls = []
    network.dropout.register_forward_hook(lambda module, inputs, output: calls.append(output.shape[1:]))
    network.features(torch.zeros(2, 1, 32, 32, 32))
    assert calls == [(32, 2, 2, 2)]
    with pytest.raises(ValueError, match="divisible by 16"):
        network.features(torch.zeros(1, 1, 16, 24, 16))
