"""Batch normalisation, dropout and gradients of a batch in two processes, against PyTorch's own of the whole batch."""

import copy

import ignite.distributed as idist
import pytest
import torch
from monai.networks.nets import UNet
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from common.engines import share_layers
from common.engines.shared_batch import own_part, whole
from common.networks import VNet


def networks():
    yield VNet(1, 2, width=2)
    yield UNet(3, 1, 2, [4, 8], [2], norm="batch", dropout=0.3)
    yield nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2, momentum=None, affine=False))


def ratio(logits):
    """A loss of the whole batch that is no mean of the losses of its parts."""
    return logits.softmax(dim=1)[:, 1].square().sum() / logits.square().sum().sqrt()


def train(network, images, forward):
    torch.manual_seed(1)
    logits = forward(network, images)
    ratio(logits).backward()
    gradients = [weights.grad for weights in network.parameters()]
    return [logits.detach(), *gradients, *(buffer.double() for buffer in network.buffers())]


def train_in_parts(rank, folder):
    torch.manual_seed(0)
    found = []
    for network in networks():
        shared = share_layers(network.double())
        wrapped = DistributedDataParallel(shared, broadcast_buffers=False, find_unused_parameters=True)
        images = torch.randn(4, 1, 16, 16, 16, dtype=torch.float64)
        torch.manual_seed(1)
        logits = whole(wrapped(own_part(images)))
        ratio(logits).backward()
        gradients = [weights.grad for weights in shared.parameters()]
        found.append([logits.detach(), *gradients, *(buffer.double() for buffer in shared.buffers())])
    torch.save(found, folder / f"{rank}.pt")


def test_two_processes_compute_what_one_does(tmp_path):
    idist.spawn("gloo", train_in_parts, (tmp_path,), nproc_per_node=2, start_method="fork")
    torch.manual_seed(0)
    expected = []
    for network in networks():
        network.double()
        images = torch.randn(4, 1, 16, 16, 16, dtype=torch.float64)
        expected.append(train(network, images, lambda network, images: network(images)))
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for ours, theirs in zip(found, expected, strict=True):
            assert len(ours) == len(theirs)
            for one, other in zip(ours, theirs, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def test_names_weights_and_evaluation_stay():
    network = VNet(1, 2, width=2)
    expected = copy.deepcopy(network).eval()
    weights = list(network.parameters())
    assert share_layers(network) is network
    assert all(one is other for one, other in zip(network.parameters(), weights, strict=True))
    assert network.state_dict().keys() == expected.state_dict().keys()
    images = torch.randn(1, 1, 16, 16, 16)
    torch.testing.assert_close(network.eval()(images), expected(images))


def test_parts_that_are_not_equal(monkeypatch):
    monkeypatch.setattr("common.engines.shared_batch.idist.get_world_size", lambda: 2)
    with pytest.raises(ValueError, match="2 processes need a number of patches that they can share out equally, got 3"):
        own_part(torch.zeros(3, 1))
