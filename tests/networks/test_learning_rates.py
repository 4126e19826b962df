"""Parameter groups, stage by stage."""

import pytest
from torch import nn

from common.networks import parameter_groups


def network():
    encoder = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 3), nn.Linear(3, 4))
    return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(4, 1)})


def test_the_rate_decays_towards_the_input():
    net = network()
    groups = parameter_groups(net, 0.1, encoder="encoder", decay=0.5)
    assert [group["lr"] for group in groups] == pytest.approx([0.1, 0.05, 0.025, 0.0125])
    parts = (net["head"], net["encoder"][3], net["encoder"][2], net["encoder"][0])
    for group, part in zip(groups, parts, strict=True):
        assert [id(it) for it in group["params"]] == [id(it) for it in part.parameters()]


def test_a_frozen_encoder_does_not_learn():
    net = network()
    (group,) = parameter_groups(net, 0.1, encoder="encoder", freeze=True)
    assert {id(it) for it in group["params"]} == {id(it) for it in net["head"].parameters()}
    assert [it.requires_grad for it in net.parameters()] == [False] * 6 + [True] * 2


def test_without_an_encoder_all_learn_alike():
    net = network()
    (group,) = parameter_groups(net, 0.1)
    assert group["lr"] == 0.1 and len(group["params"]) == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0}, "learning_rate must be above 0, got 0"),
        ({"decay": 0}, r"decay must lie in \(0, 1\], got 0"),
        ({"decay": 1.1}, "got 1.1"),
        ({"encoder": "swinViT"}, r"encoder must be a part of ModuleDict \(encoder, head\) or None, got 'swinViT'"),
        ({"encoder": None, "freeze": True}, "encoder must name the part to freeze"),
    ],
)
def test_bad_arguments(changes, message):
    with pytest.raises(ValueError, match=message):
        parameter_groups(network(), **{"learning_rate": 0.1, "encoder": "encoder", **changes})
