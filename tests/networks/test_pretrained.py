"""Weights that fit, fit in part, or do not fit."""

import logging

import pytest
import torch
from monai.networks.nets import SwinUNETR, UNet
from torch import nn

from common.networks import VNet, load_pretrained


def saved(path, content):
    torch.save(content, path)
    return path


@pytest.mark.parametrize("wrap", [dict, lambda state: {"state_dict": state}, lambda state: {"model": state}])
def test_whole(wrap, tmp_path):
    first, second = VNet(1, 2, width=2), VNet(1, 2, width=2)
    state = {f"module.{name}": it for name, it in first.state_dict().items()}
    fit = load_pretrained(second, saved(tmp_path / "weights.pt", wrap(state)))
    assert fit.complete and len(fit.loaded) == len(state)
    assert all(torch.equal(it, second.state_dict()[name]) for name, it in first.state_dict().items())


def test_a_network_with_a_part_called_module(tmp_path):
    first, second = (nn.ModuleDict({"module": nn.Linear(2, 1), "head": nn.Linear(1, 1)}) for _ in range(2))
    for state in (first.state_dict(), {f"module.{name}": it for name, it in first.state_dict().items()}):
        assert load_pretrained(second, saved(tmp_path / "weights.pt", state)).complete
        assert all(torch.equal(it, second.state_dict()[name]) for name, it in first.state_dict().items())


def test_the_self_supervised_encoder_of_a_swin_unetr(tmp_path, caplog):
    torch.manual_seed(0)
    first, second = (SwinUNETR(1, 2, feature_size=12) for _ in range(2))
    names = {"mlp.linear1": "mlp.fc1", "mlp.linear2": "mlp.fc2"}
    state = {"module.contrastive_head.weight": torch.zeros(3)}
    for name, weights in first.swinViT.state_dict().items():
        for new, old in names.items():
            name = name.replace(new, old)
        state[f"module.{name}"] = weights
    path = saved(tmp_path / "model_swinvit.pt", {"state_dict": state})
    decoder = {name: it.clone() for name, it in second.state_dict().items() if not name.startswith("swinViT")}
    with caplog.at_level(logging.WARNING):
        fit = load_pretrained(second, path, partial=True)
    assert set(fit.loaded) == {name for name in second.state_dict() if name.startswith("swinViT.")}
    assert "fits SwinUNETR in part" in caplog.text and "1 unknown to the network: swinViT.contrastive" in caplog.text
    for name, weights in second.state_dict().items():
        assert torch.equal(weights, decoder[name] if name in decoder else first.state_dict()[name]), name
    with pytest.raises(ValueError, match="does not fit SwinUNETR: 0 of the network's"):
        load_pretrained(second, path)


def test_what_does_not_fit_is_summed_up(tmp_path):
    path = saved(tmp_path / "weights.pt", VNet(1, 3, width=4).state_dict())
    with pytest.raises(ValueError, match="does not fit") as error:
        load_pretrained(VNet(4, 3, width=4), path)
    assert "1 of another shape: encoder1.0.weight (network [4, 4, 3, 3, 3], file [4, 1, 3, 3, 3])" in str(error.value)
    assert "trained on images with 1 channel, the network takes 4" in str(error.value)
    assert "common.networks.VNet with in_channels 1, out_channels 3, width 4:" in str(error.value)
    wider = saved(tmp_path / "wider.pt", SwinUNETR(1, 2, feature_size=24, window_size=4).state_dict())
    with pytest.raises(ValueError, match=r"in_channels 1, out") as error:
        load_pretrained(SwinUNETR(1, 2, feature_size=12, window_size=4), wider)
    assert "the network takes" not in str(error.value)
    network = UNet(3, 1, 2, channels=[4, 8], strides=[2])
    with pytest.raises(ValueError, match=r"(?s)does not fit UNet: 0 of .* missing in the file: model.*, and .* more"):
        load_pretrained(network, path, partial=True)
    swin = saved(tmp_path / "swin.pt", SwinUNETR(1, 2, feature_size=12, window_size=4).state_dict())
    with pytest.raises(
        ValueError, match="a SwinUNETR with in_channels 1, out_channels 2, feature_size 12, window_size 4"
    ):
        load_pretrained(network, swin)


def test_a_network_whose_own_names_are_the_older_ones(tmp_path):
    first, second = (nn.ModuleDict({"mlp": nn.ModuleDict({"fc1": nn.Linear(2, 3)})}) for _ in range(2))
    first, second = (nn.Sequential(it) for it in (first, second))
    assert load_pretrained(second, saved(tmp_path / "weights.pt", first.state_dict())).complete


def test_weights_that_are_no_numbers_or_more_than_tensors(tmp_path):
    network = nn.Linear(2, 3)
    torch.save(network, tmp_path / "module.pt")
    with pytest.raises(ValueError, match=r"it holds more than tensors; save the state_dict alone\)$"):
        load_pretrained(network, tmp_path / "module.pt")
    network.bias.data[1] = torch.nan
    path = saved(tmp_path / "nan.pt", network.state_dict())
    with pytest.raises(ValueError, match=r"nan\.pt: expected finite weights, found NaN .* in 1, first bias"):
        load_pretrained(nn.Linear(2, 3), path)


def test_the_network_itself_is_not_proposed(tmp_path):
    state = VNet(1, 2, width=2).state_dict()
    path = saved(tmp_path / "more.pt", state | {"more": torch.zeros(1)})
    with pytest.raises(ValueError, match="1 unknown to the network: more") as error:
        load_pretrained(VNet(1, 2, width=2), path)
    assert "seems to be" not in str(error.value)


def test_no_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.pt: expected the weights .* found no file"):
        load_pretrained(nn.Identity(), tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("weights")
    with pytest.raises(ValueError, match="found one that cannot be read"):
        load_pretrained(nn.Identity(), tmp_path / "text.pt")
    for content in ({"epoch": 3}, [torch.zeros(1)]):
        with pytest.raises(ValueError, match=r"expected weights by name, found .* without any tensor"):
            load_pretrained(nn.Identity(), saved(tmp_path / "other.pt", content))
