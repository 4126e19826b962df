"""Small inputs shared by the tests of losses."""

import pytest
import torch


@pytest.fixture(scope="session")
def from_probabilities():
    """Makes two-class logits ``[1, 2, 1, 1, n]`` of foreground probabilities, and a target ``[1, 1, 1, 1, n]``."""

    def make(foreground, target):
        p = torch.tensor(foreground, dtype=torch.float64)
        logits = torch.stack([1 - p, p]).log().reshape(1, 2, 1, 1, -1)
        return logits, torch.tensor(target, dtype=torch.uint8).reshape(1, 1, 1, 1, -1)

    return make


@pytest.fixture
def batch():
    """Four classes, some voxels not annotated."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 3, 2, 4, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 4, (2, 1, 3, 2, 4), generator=generator).to(torch.uint8)
    target[torch.rand(target.shape, generator=generator) < 0.3] = 255
    return logits, target
