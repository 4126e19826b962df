"""Normalisation of scans, by hand and against MONAI's."""

import pytest
import torch
from monai.transforms import NormalizeIntensityd

from common.transforms import NormalizeScand


def image(*values):
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


def test_each_channel_by_itself():
    given = torch.cat([image(1, 3, 1, 3), image(10, 30, 10, 30)])
    found = NormalizeScand("image")({"image": given})["image"]
    assert torch.allclose(found, torch.cat([image(-1, 1, -1, 1)] * 2))


@pytest.mark.parametrize("nonzero", [True, False, "true", "False"])
def test_without_a_window_it_is_monais(nonzero):
    given = torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(0)).clamp(min=0)
    expected = NormalizeIntensityd("image", channel_wise=True, nonzero=str(nonzero).lower() == "true")
    found = NormalizeScand("image", nonzero=nonzero)({"image": given.clone()})
    assert torch.equal(found["image"], expected({"image": given})["image"])


def test_zeros_stay_zero():
    found = NormalizeScand("image", nonzero=True)({"image": image(0, 0, 4, 6)})["image"]
    assert torch.allclose(found, image(0, 0, -1, 1))


def test_a_window_clips_and_is_the_same_for_all_scans():
    window = NormalizeScand("image", window=[-100, 300, 50, 50])
    assert torch.allclose(window({"image": image(-1000, 0, 50, 400)})["image"], image(-3, -1, 0, 5))
    assert torch.allclose(window({"image": image(0, 0, 0, 100)})["image"], image(-1, -1, -1, 1))


def test_other_entries_stay():
    assert NormalizeScand("image")({"image": image(1, 3), "scan": "anna"})["scan"] == "anna"


@pytest.mark.parametrize("window", [[0, 1, 0], [300, -100, 0, 1], [0, 1, 0, 0]])
def test_a_window_that_makes_no_sense(window):
    with pytest.raises(ValueError, match="window must be the least and the greatest"):
        NormalizeScand("image", window=window)


def test_a_word_that_is_neither():
    with pytest.raises(ValueError, match="nonzero must be True or False"):
        NormalizeScand("image", nonzero="perhaps")
