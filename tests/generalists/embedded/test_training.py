"""Training of the embedded generalist."""

import pytest
import torch

from common.generalists.embedded.scenes import random_scenes
from common.generalists.embedded.training import boxes_of, mask_loss, spoil, train, training_batch


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path):
    settings = {"seed": 3, "batch_size": 2, "checkpoint_every": 2}
    train(str(tmp_path / "whole.pt"), steps=4, **settings)
    train(str(tmp_path / "parts.pt"), steps=4, stop_after=2, **settings)
    train(str(tmp_path / "parts.pt"), steps=4, **settings)
    whole, parts = (torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "parts.pt"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    files = {f"{name}.pt{suffix}" for name in ("whole", "parts") for suffix in ("", ".checkpoint")}
    assert {path.name for path in tmp_path.iterdir()} == files


def test_mask_loss():
    target = torch.zeros(1, 1, 4, 4)
    target[..., :2] = 1
    perfect = mask_loss((target * 2 - 1) * 40, target)
    # all logits 0: Dice 1 - (2*4 + 1) / (8 + 8 + 1), cross-entropy log 2
    undecided = mask_loss(torch.zeros(1, 1, 4, 4), target)
    assert perfect.item() == pytest.approx(0, abs=1e-5)
    assert undecided.item() == pytest.approx(1 - 9 / 17 + 0.693147, abs=1e-5)


def test_boxes_of_masks():
    masks = torch.zeros(2, 1, 8, 10)
    masks[0, 0, 2:5, 3:9] = 1
    masks[1, 0, 7, 0] = 1
    assert boxes_of(masks).tolist() == [[3, 2, 9, 5], [0, 7, 1, 8]]


def test_scenes():
    first, again = (random_scenes(4, torch.Generator().manual_seed(1)) for _ in range(2))
    assert first.images.shape == first.masks.shape == (4, 1, 80, 80)
    assert torch.equal(first.images, again.images)
    assert torch.isfinite(first.images).all()
    assert first.masks.unique().tolist() == [0, 1]
    spoilt = spoil(first.masks, torch.Generator().manual_seed(2))
    assert spoilt.sum(dim=(1, 2, 3)).min() > 0
    for number, size in ((0, 80), (1, 16)):
        with pytest.raises(ValueError, match="at least"):
            random_scenes(number, torch.Generator(), size)


def test_training_batch_is_decided_by_the_seed():
    inputs, target = training_batch(3, seed=5)
    again, _ = training_batch(3, seed=5)
    assert inputs.shape == (3, 4, 64, 64) and target.shape == (3, 1, 64, 64)
    assert torch.equal(inputs, again)
    assert torch.isfinite(inputs).all()
    assert target.sum(dim=(1, 2, 3)).min() > 0
