"""The pool's pass, with and without features."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer

from common.engines import ProbabilityInferer
from common.handlers import PoolInference, Rounds
from common.handlers.pool import of_all_processes
from common.networks import VNet


class OneScan:
    """A pool of one scan."""

    data = ({"scan": "a"},)

    def __getitem__(self, position):
        image = torch.randn(1, 16, 20, 16, generator=torch.Generator().manual_seed(0))
        return {"image": MetaTensor(image, affine=torch.diag(torch.tensor([2.0, 1, 1, 1])))}


def a_pool(**settings):
    torch.manual_seed(0)
    keywords = {"network": VNet(1, 2, width=2), "inferer": ProbabilityInferer((16, 16, 16)), "device": "cpu"}
    return PoolInference(OneScan(), rounds=Rounds(1, 1, 0), **(keywords | settings))


def predicted(pool):
    ((scan, image),) = pool.scans("pool")
    return pool.predict(scan, image)


def test_features_come_with_the_same_probabilities():
    plain, rich = predicted(a_pool()), predicted(a_pool(features=True))
    assert plain.features is None
    assert torch.equal(plain.probabilities, rich.probabilities)
    assert rich.features.shape == (2, 16, 20, 16) and rich.features.dtype == torch.float32
    assert rich.scan == "a" and np.allclose(rich.affine, np.diag([2, 1, 1, 1]))


def test_features_of_another_inferer():
    a_pool(inferer=SimpleInferer())
    with pytest.raises(ValueError, match="inferer must be a ProbabilityInferer to give features, got SimpleInferer"):
        a_pool(inferer=SimpleInferer(), features=True)


def test_features_of_a_network_without_any():
    pool = a_pool(network=torch.nn.Conv3d(1, 2, kernel_size=1), features=True)
    with pytest.raises(ValueError, match="Conv3d lacks one of them"):
        predicted(pool)


def test_what_several_processes_found_is_joined(monkeypatch):
    assert of_all_processes({"a": 1, "b": 2}) == {"a": 1, "b": 2}
    monkeypatch.setattr("common.handlers.pool.idist.all_gather", lambda mine: [mine, {"c": 3}, {}])
    assert of_all_processes({"b": 2, "a": 1}) == {"a": 1, "b": 2, "c": 3}
