"""The memory of a training step, against what PyTorch keeps."""

import pytest
import torch
from monai.networks.nets import SwinUNETR

from common.networks import VNet
from common.plan.memory import SWIN_UNETR, VNET, scan_bytes, training_bytes


def kept(network, images):
    """Numbers that PyTorch keeps for the backward pass, without the weights, per voxel."""
    weights = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
    sizes, alive = {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes() / 4
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(images)
    return sum(sizes.values()) / images[:, 0].numel()


@pytest.mark.parametrize(
    ("network", "known", "images"),
    [
        (VNet(1, 2, width=4), VNET, torch.randn(1, 1, 32, 32, 32)),
        (VNet(4, 3, width=8), VNET, torch.randn(2, 4, 16, 32, 16)),
        (SwinUNETR(1, 2, window_size=4, feature_size=12), SWIN_UNETR, torch.randn(1, 1, 64, 32, 32)),
    ],
    ids=["V-Net", "V-Net with four channels", "Swin UNETR"],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_kept_was_counted_right(network, known, images):
    network.train()
    width = next(weight.shape[0] for weight in network.parameters() if weight.ndim == 5)
    assert kept(network, images) - images.shape[1] == pytest.approx(known.activations * width, rel=0.05)
    assert sum(it.numel() for it in network.parameters()) == pytest.approx(known.parameters * width**2, rel=0.05)


def test_training_by_hand():
    # 16^3 voxels, 2 patches: (12.7 + 3.3) * 8 + 1 + 4 * 3 = 141 numbers per voxel; 4 times 36,950 * 64 weights.
    expected = 4 * (4096 * 2 * 141 + 4 * 36_950 * 64)
    found = training_bytes(VNET, patch=(16, 16, 16), batch=2, width=8, channels=1, classes=3)
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_papers_patch_takes_a_few_gigabytes():
    found = training_bytes(VNET, patch=(112, 112, 80), batch=4, width=16, channels=1, classes=2)
    assert 3e9 < found < 6e9


def test_a_whole_scan():
    assert scan_bytes((10, 10, 10), channels=2, classes=3) == 24_000
