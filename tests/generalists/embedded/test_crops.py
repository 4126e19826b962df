"""Crops are cut out of slices and pasted back."""

import pytest
import torch

from common.generalists.embedded.crops import CropFrames, cut, paste


def test_a_crop_on_the_pixel_grid_is_the_pixels():
    slices = torch.rand(1, 20, 24)
    frames = CropFrames.around(torch.tensor([[6.0, 5.0, 14.0, 13.0]]), 8, factor=1.0, minimum=1)
    crop, on_slice = cut(slices, frames)
    torch.testing.assert_close(crop[0], slices[0, 5:13, 6:14])
    assert (on_slice == 1).all()
    back = paste(crop, frames, (20, 24))[0]
    torch.testing.assert_close(back[5:13, 6:14], slices[0, 5:13, 6:14])
    back[5:13, 6:14] = 0
    assert not back.any()


def test_shrinking_a_ramp_and_putting_it_back():
    ramp = torch.arange(64.0)[None, :].repeat(48, 1)[None]
    frames = CropFrames.around(torch.tensor([[10.0, 8.0, 50.0, 40.0]]), 20, factor=1.0, minimum=1)
    crop, _ = cut(ramp, frames)
    expected = 10 + 40 * (torch.arange(20) + 0.5) / 20 - 0.5
    torch.testing.assert_close(crop[0], expected.expand(20, 20), atol=1e-3, rtol=0)
    back = paste(crop, frames, (48, 64))[0]
    torch.testing.assert_close(back[10:38, 12:48], ramp[0, 10:38, 12:48], atol=1e-3, rtol=0)


def test_beyond_the_border():
    frames = CropFrames.around(torch.tensor([[0.0, 0.0, 4.0, 4.0]]), 8, factor=2.0, minimum=1)
    _, on_slice = cut(torch.ones(1, 10, 10), frames)
    assert on_slice[0].tolist() == [[float(row >= 2 and column >= 2) for column in range(8)] for row in range(8)]


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 1.0), (1.0, 3.0)])
def test_crops_are_square_in_millimetres(spacing):
    frames = CropFrames.around(torch.tensor([[3.0, 4.0, 33.0, 20.0]]), 16, spacing=spacing)
    width, height = (2 * frames.half[0]).tolist()
    assert width * spacing[1] == pytest.approx(height * spacing[0])
    assert height * spacing[0] == pytest.approx(1.5 * max(30 * spacing[1], 16 * spacing[0]))


def test_a_slice_of_one_pixel():
    frames = CropFrames.around(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), 8)
    crop, on_slice = cut(torch.full((1, 1, 1), 7.0), frames)
    assert (crop == 7).all() and on_slice.sum() < 64
    assert paste(crop, frames, (1, 1)).item() == pytest.approx(7)
