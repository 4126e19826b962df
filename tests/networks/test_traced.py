"""Networks that are traced, against themselves as Python code."""

import io

import pytest
import torch
from monai.networks.nets import SwinUNETR

from common.networks import ScriptableSwinUNETR

SIZES = {"in_channels": 1, "out_channels": 2, "window_size": 4, "feature_size": 12}
ROI_SIZE = (64, 32, 32)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return ScriptableSwinUNETR(**SIZES, roi_size=ROI_SIZE).eval()


def saved_and_loaded(script):
    file = io.BytesIO()
    torch.jit.save(script, file)
    file.seek(0)
    return torch.jit.load(file)


@pytest.mark.parametrize("way", ["script", "trace"])
def test_a_swin_unetr_as_torchscript_is_the_same_and_refuses_other_sizes(network, way):
    example = torch.zeros(1, 1, *ROI_SIZE)
    made = torch.jit.script(network) if way == "script" else torch.jit.trace(network, example, check_trace=False)
    script = saved_and_loaded(made)
    with torch.no_grad():
        for batch in (1, 2):
            volume = torch.randn(batch, 1, *ROI_SIZE)
            torch.testing.assert_close(script(volume), network(volume), rtol=0, atol=1e-6)
        # A trace of MONAI's own network takes the first of these and gives wrong logits.
        for size in ((128, 32, 32), (64, 64, 32)):
            with pytest.raises(torch.jit.Error, match=r"expected an input of size \[1, 64, 32, 32\] after the batch"):
                script(torch.zeros(1, 1, *size))


def test_its_weights_and_logits_are_those_of_monais_network_at_every_size(network):
    monais = SwinUNETR(**SIZES).eval()
    monais.load_state_dict(network.state_dict())
    with torch.no_grad():
        for size in (ROI_SIZE, (32, 64, 64)):
            volume = torch.randn(1, 1, *size)
            assert torch.equal(network(volume), monais(volume))
