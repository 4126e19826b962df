from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from common.generalists import Prompts, SamGeneralist
from common.generalists.sam import generalist
from common.generalists.sam.canvas import Canvas
from common.generalists.sam.usage import LITE_MEDSAM, MEDSAM, SAM, Usage


class Transparent(nn.Module):
    """A SAM whose embedding is the image, and whose mask is the image within the box, shifted by the points' offset."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.full((3, 1, 1), 120.0))
        self.register_buffer("pixel_std", torch.full((3, 1, 1), 60.0))
        self.passes = 0
        self.prompt_encoder = TransparentPrompts(side)
        self.mask_decoder = nn.Identity()

    def image_encoder(self, image):
        self.passes += len(image)
        return F.avg_pool2d(image[:, :1], 4)


class TransparentPrompts:
    embed_dim = 1

    def __init__(self, side: int) -> None:
        self.input_image_size, self.image_embedding_size = (side, side), (side // 16, side // 16)

    def __call__(self, points, boxes, masks):
        mean = points[0].mean(dim=1) if points else boxes[:, :2]
        return torch.cat([boxes, mean], dim=1), torch.zeros(len(boxes), 1, 1, 1)

    def get_dense_pe(self):
        return torch.zeros(1)


class TransparentDecoder:
    def __init__(self, *_):
        pass

    def __call__(self, images, prompts, *, several, corners=None):
        image = images[:, 0]
        corners = torch.zeros(len(image), 2) if corners is None else corners
        centre = 4 * (torch.arange(image.shape[-1]) + corners[..., None]) + 2
        left, top, right, bottom, x, y = prompts[:, :, None].unbind(1)
        columns = (centre[:, 0] >= left) & (centre[:, 0] <= right)
        rows = (centre[:, 1] >= top) & (centre[:, 1] <= bottom)
        mask = torch.where(rows[:, :, None] & columns[:, None], image + 0.001 * (x - left + y - top)[..., None], -5)
        number = 3 if several else 1
        return mask[:, None].expand(-1, number, -1, -1), torch.rand(len(mask), number)


@pytest.fixture(autouse=True)
def _transparent_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generalist, "PromptDecoder", TransparentDecoder)


def random_images_and_prompts(
    shape: tuple[int, int], slices: int = 21, number: int = 40
) -> tuple[torch.Tensor, Prompts]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(slices, *shape, generator=generator)
    size = torch.tensor([shape[1], shape[0]])
    first = (torch.rand(number, 2, generator=generator) * (size - 1)).floor()
    last = first + 1 + (torch.rand(number, 2, generator=generator) * (size - first - 1)).floor()
    prompts = Prompts(
        boxes=torch.cat([first, last], dim=1),
        points=(torch.rand(number, 3, 2, generator=generator) * size).floor(),
        point_labels=torch.ones(number, 3, dtype=torch.long),
        slice_index=torch.randint(0, slices, (number,), generator=generator),
        classes=torch.ones(number, dtype=torch.long),
    )
    return images, prompts


@pytest.mark.parametrize("usage", [SAM, MEDSAM, LITE_MEDSAM])
@pytest.mark.parametrize("grid", [2, 4, 8])
@pytest.mark.parametrize("shape", [(32, 32), (17, 30), (31, 8)])
def test_masks_from_a_grid_equal_those_of_the_tile_alone(usage: Usage, grid: int, shape: tuple[int, int]) -> None:
    """A slice on one tile of many gets the mask that it gets alone on a canvas of the tile's size."""
    images, prompts = random_images_and_prompts(shape)
    together, alone = Transparent(1024), Transparent(1024 // grid)
    found = SamGeneralist(together, usage=usage, precision="fp32", slices_per_pass=grid**2).segment(images, prompts)
    expected = SamGeneralist(alone, usage=usage, precision="fp32").segment(images, prompts)
    assert expected.std() > 0.05
    assert torch.allclose(found, expected, atol=1e-6)
    assert together.passes == len((prompts.slice_index // grid**2).unique())
    assert alone.passes == len(prompts.slice_index.unique())


def test_the_tile_of_a_map() -> None:
    """On 2 x 2 tiles a map of 8 x 8 has 4 x 4 values of each; slices 1 and 6 lie above right and below left."""
    maps = torch.arange(2 * 3 * 64).reshape(2, 3, 8, 8)
    found, corners = Canvas.fitting(1024, (100, 100), 4).part(maps, torch.tensor([1, 6]))
    assert torch.equal(found, torch.stack([maps[0, :, :4, 4:], maps[1, :, 4:, :4]]))
    assert corners.tolist() == [[4, 0], [0, 4]]


def test_every_slice_of_the_last_incomplete_grid_is_found() -> None:
    images, prompts = random_images_and_prompts((20, 20), slices=6)
    found = SamGeneralist(Transparent(1024), precision="fp32", slices_per_pass=4).segment(images, prompts)
    expected = SamGeneralist(Transparent(512), precision="fp32").segment(images, prompts)
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "slices", "grid"),
    [
        ((200, 256), 16, 4),
        ((200, 257), 16, 3),
        ((400, 300), 16, 2),
        ((600, 10), 16, 1),
        ((2000, 9), 4, 1),
        ((9, 9), 4, 2),
    ],
)
def test_no_slice_is_shrunk_for_the_sake_of_a_grid(shape: tuple[int, int], slices: int, grid: int) -> None:
    canvas = Canvas.fitting(1024, shape, slices)
    assert canvas.grid == grid
    assert grid == 1 or all(new >= old for new, old in zip(canvas.scaled, shape, strict=True))


def test_the_scaled_shape_is_the_references() -> None:
    """It is int(size * 1024 / longest + 0.5), as in segment_anything's ResizeLongestSide."""
    for shape in ((512, 333), (333, 512), (7, 1000), (1, 3), (1, 4000)):
        scale = 1024 / max(shape)
        expected = tuple(max(1, int(size * scale + 0.5)) for size in shape)
        assert Canvas(1024, shape).scaled == expected


def test_tiles_lie_row_by_row_at_multiples_of_a_token() -> None:
    canvas = Canvas.fitting(1024, (100, 50), 9)
    image = torch.arange(1, 12).view(11, 1, 1, 1).expand(-1, 1, *canvas.scaled).float()
    painted = canvas.lay_out(image)
    assert painted.shape == (2, 1, 1024, 1024) and canvas.tile == 336
    for index in range(11):
        x, y = canvas.corners(torch.tensor([index]))[0].tolist()
        assert x % 16 == 0 and y % 16 == 0 and (x, y) == (336 * (index % 9 % 3), 336 * (index % 9 // 3))
        rows, columns = canvas.scaled
        assert (painted[index // 9, 0, y : y + rows, x : x + columns] == index + 1).all()
    assert painted.count_nonzero() == 11 * canvas.scaled[0] * canvas.scaled[1]


class TestLiteMedSam:
    """Slices of 256 pixels, with embeddings of 64 x 64 and masks of 256 x 256."""

    @pytest.mark.parametrize(
        ("shape", "scaled"),
        [((92, 70), (256, 195)), ((183, 140), (256, 196)), ((35, 51), (176, 256)), ((512, 300), (256, 150))],
    )
    def test_sizes_worked_out_by_hand(self, shape: tuple[int, int], scaled: tuple[int, int]) -> None:
        """For example 70 * 256 / 92 + 0.5 = 195.28."""
        assert canvas(shape).scaled == scaled

    def test_area_interpolation_worked_out_by_hand(self) -> None:
        """Two pixels become 256, of 128 each; three become 256, of which one in the middle covers two."""
        two = canvas((1, 2)).enlarge(torch.tensor([[[10.0, 250.0]]]))[0]
        assert two.shape == (128, 256)
        assert (two[:, :128] == 10).all() and (two[:, 128:] == 250).all()
        three = canvas((1, 3)).enlarge(torch.tensor([[[0.0, 90.0, 240.0]]]))[0, 0]
        # Pixel 85 covers 85 * 3 / 256 = 0.99609 to 1.00781, two thirds of it the second pixel: 60. Pixel 170 covers
        # 1.99219 to 2.00391, a third of it the third pixel: 90 + 150 / 3 = 140.
        assert three[:85].tolist() == [0] * 85 and three[85] == 60 and three[86:170].tolist() == [90] * 84
        assert three[170] == 140 and three[171:].tolist() == [240] * 85

    @pytest.mark.parametrize("shape", [(40, 30), (512, 384), (320, 160), (9, 7)])
    def test_area_interpolation_by_brute_force(self, shape: tuple[int, int]) -> None:
        """Every pixel is repeated so often that each new one is the mean of whole copies."""
        image = torch.randint(0, 256, (1, *shape), generator=torch.Generator().manual_seed(0)).double()
        found = canvas(shape)
        rows, columns = found.scaled
        fine = image.repeat_interleave(rows, 1).reshape(1, rows, shape[0], shape[1]).sum(2)
        fine = fine.repeat_interleave(columns, 2).reshape(1, rows, columns, shape[1]).sum(3)
        assert torch.equal(found.enlarge(image), (fine / (shape[0] * shape[1]) + 0.5).floor())

    def test_boxes_are_scaled_by_one_factor_and_rounded_down(self) -> None:
        """256 / 92 = 2.7826: 10 becomes 27.8, 20 becomes 55.7, 69 becomes 192.0 (exactly), 91 becomes 253.2."""
        corners = torch.tensor([[[10.0, 20.0], [69.0, 91.0]]])
        assert canvas((92, 70)).move(corners, torch.tensor([0])).tolist() == [[[27, 55], [192, 253]]]

    def test_boxes_on_a_tile(self) -> None:
        """On 2 x 2 tiles of 128 pixels, the factor is 128 / 92 = 1.3913: 10, 20 become 13, 27; slice 2 lies below."""
        grid = canvas((92, 70), slices=4)
        assert grid.tile == 128
        assert grid.move(torch.tensor([[[10.0, 20.0]]]), torch.tensor([2])).tolist() == [[[13, 27 + 128]]]

    def test_tiles_are_multiples_of_four_pixels(self) -> None:
        assert canvas((40, 30), slices=36).tile == 40 and canvas((51, 35), slices=16).tile == 64

    def test_masks_of_the_inputs_size_are_cropped_and_scaled(self) -> None:
        masks = torch.randn(2, 256, 256, generator=torch.Generator().manual_seed(0))
        found = canvas((92, 70)).fit(masks)
        cropped = F.interpolate(masks[:, None, :256, :195], (92, 70), mode="bilinear", align_corners=False)
        assert torch.equal(found, cropped[:, 0].sigmoid())

    def test_padding_is_right_and_below(self) -> None:
        found = canvas((92, 70)).lay_out(torch.ones(1, 3, 256, 195))
        assert found.shape == (1, 3, 256, 256)
        assert (found[..., :195] == 1).all() and (found[..., 195:] == 0).all()


def canvas(shape: tuple[int, int], slices: int = 1) -> Canvas:
    return Canvas.fitting(256, shape, slices, usage=LITE_MEDSAM, token=4)
