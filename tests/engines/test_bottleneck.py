"""Features of a network's deepest layer, laid on a coarse grid."""

import pytest
import torch
from torch import nn

from common.engines import BottleneckInferer, ProbabilityInferer, deepest_layer
from common.networks import VNet


class Pyramid(nn.Module):
    """Its deepest features are the means of blocks of 4³ voxels."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool3d(4)
        self.same = nn.Identity()
        self.squeeze = nn.AdaptiveAvgPool3d(1)
        self.up = nn.Upsample(scale_factor=4)

    def forward(self, x):
        x = self.up(self.same(self.pool(x))) + self.squeeze(x)
        return torch.cat([x, -x], dim=1)


@pytest.mark.parametrize("shape", [(16, 16, 16), (24, 16, 20), (32, 24, 16)])
def test_features_lie_where_they_belong(shape):
    image = torch.randn(2, 1, *shape, generator=torch.Generator().manual_seed(0))
    inferer = BottleneckInferer((16, 16, 16), (8, 4, 4), sw_batch_size=3)
    probabilities, features = inferer.with_features(image, Pyramid().eval())
    torch.testing.assert_close(features, nn.functional.avg_pool3d(image, 4))
    assert torch.equal(probabilities, inferer(image, Pyramid().eval()))


def test_scans_smaller_than_the_window():
    image = torch.ones(1, 1, 8, 16, 16)
    _, features = BottleneckInferer((16, 16, 16)).with_features(image, Pyramid().eval())
    torch.testing.assert_close(features, torch.ones(1, 1, 2, 4, 4))


def test_the_deepest_layer():
    assert deepest_layer(Pyramid().eval(), torch.zeros(1, 1, 16, 16, 16)) == "same"
    assert deepest_layer(VNet(1, 2, width=2).eval(), torch.zeros(1, 1, 32, 32, 32)) == "bottleneck"
    with pytest.raises(ValueError, match=r"a layer of Flatten that gives \[1, F, h, w, d\], found none"):
        deepest_layer(nn.Flatten(), torch.zeros(1, 1, 4, 4, 4))


def test_a_layer_by_name():
    torch.manual_seed(0)
    network, image = VNet(1, 2, width=2).eval(), torch.randn(1, 1, 32, 16, 16)
    probabilities, features = BottleneckInferer((16, 16, 16), feature_layer="encoder2").with_features(image, network)
    assert features.shape == (1, 4, 16, 8, 8) and features.dtype == torch.float32
    assert torch.equal(probabilities, ProbabilityInferer((16, 16, 16))(image, network))
    with pytest.raises(ValueError, match=r"feature_layer must be a layer of VNet, e.g. encoder3.*; got 'encoder3x'"):
        BottleneckInferer((16, 16, 16), feature_layer="encoder3x").with_features(image, network)
    with pytest.raises(ValueError, match=r"dropout must give .* once per pass"):
        BottleneckInferer((16, 16, 16), feature_layer="dropout").with_features(image, network)
