import json
import logging

import pytest
import torch
from monai.networks.nets import SwinUNETR, UNet
from torch import nn

from common.networks import VNet, check_spacing, model_file, model_settings, network_sizes


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ([], "run/model.pt"),
        (["bundle/models/model.pt"], "bundle/models/model.pt"),
        (["run/model.pt"], "run/model.pt"),
        (["bundle/models/model.pt", "run/model.pt"], "run/model.pt"),
    ],
)
def test_a_run_uses_its_own_model_or_else_the_bundles(there, expected, tmp_path, caplog):
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    with caplog.at_level(logging.INFO):
        assert model_file(tmp_path / "run", tmp_path / "bundle") == tmp_path / expected
    assert (str(tmp_path / expected) in caplog.text) == bool(there)


def test_settings_beside_a_model_take_the_place_of_those_that_it_does_not_tell(tmp_path):
    model, defaults = tmp_path / "model.pt", {"width": 16, "spacing": None}
    assert model_settings(model, defaults) == defaults
    (tmp_path / "model.json").write_text(json.dumps({"width": 8, "someday": 1}))
    assert model_settings(model, defaults) == {"width": 8, "spacing": None}
    (tmp_path / "model.json").write_text("[8]")
    with pytest.raises(ValueError, match=r"model\.json: expected the settings of a model as a JSON object, found list"):
        model_settings(model, defaults)


def test_scans_of_another_spacing_are_refused(tmp_path):
    model = tmp_path / "model.pt"
    check_spacing(model, [3.0, 3.0, 3.0])
    (tmp_path / "model.json").write_text(json.dumps({"spacing": [1.25, 1.25, 2.5]}))
    check_spacing(model, [1.26, 1.25, 2.45])
    with pytest.raises(ValueError, match=r"voxels of 1\.25 × 1\.25 × 2\.5 mm, .* found 1\.25 × 1\.25 × 2 mm; prepare"):
        check_spacing(model, [1.25, 1.25, 2.0])


@pytest.mark.parametrize(
    ("network", "sizes"),
    [
        (VNet(2, 3, width=4), {"channels": 2, "num_classes": 3, "width": 4}),
        (
            SwinUNETR(1, 5, feature_size=12, window_size=4),
            {"channels": 1, "num_classes": 5, "feature_size": 12, "window_size": 4},
        ),
        (UNet(3, 1, 2, channels=[4, 8], strides=[2]), {}),
        (nn.Identity(), {}),
    ],
)
def test_sizes_of_a_network_by_its_weights(network, sizes):
    assert network_sizes(network) == network_sizes(network.state_dict()) == sizes
    assert all(type(size) is int for size in network_sizes(network).values())
    if sizes:
        half = {name: torch.empty_like(it, device="meta") for name, it in network.state_dict().items()}
        assert network_sizes(half) == sizes
