import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor, decollate_batch, list_data_collate
from monai.transforms import Compose, Invertd, RandFlipd, RandRotate90d

from common import IGNORE_INDEX
from common.transforms import Stitchd, StitchLayout, stitch, unstitch

DTYPES = [
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.uint8,
    torch.int16,
    torch.int64,
    torch.bool,
]


def numbered(*shape, dtype=torch.float32):
    """A volume whose voxels all differ, as far as the type can tell."""
    return torch.randperm(torch.Size(shape).numel(), generator=torch.Generator().manual_seed(0)).view(shape).to(dtype)


def placed_by_loop(volume, layout, fill):
    """`[C, H, W, D]` on `[N, C, size, size]`, slice by slice, for slices no larger than a tile."""
    channels, height, width, depth = volume.shape
    tiles = layout.grid**2
    images = torch.full((layout.images, channels, layout.size, layout.size), fill, dtype=volume.dtype)
    for image in range(layout.images):
        for place in range(tiles):
            index = image * (tiles - layout.overlap) + place
            if index < depth:
                top = place // layout.grid * layout.tile + (layout.tile - height) // 2
                left = place % layout.grid * layout.tile + (layout.tile - width) // 2
                images[image, :, top : top + height, left : left + width] = volume[..., index]
    return images


@st.composite
def cases(draw):
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    size = draw(st.integers(max(height, width), 40))
    tile = draw(st.none() | st.integers(max(height, width), size))
    grid = size // (max(height, width) if tile is None else tile)
    shape = (draw(st.integers(1, 3)), height, width, draw(st.integers(1, 40)))
    return {
        "shape": shape if draw(st.booleans()) else (draw(st.integers(1, 3)), *shape),
        "size": size,
        "tile": tile,
        "overlap": draw(st.integers(0, grid**2 - 1)),
        "fit": draw(st.sampled_from(["pad", "resize"])) if tile is not None else "pad",
        "dtype": draw(st.sampled_from(DTYPES)),
    }


@settings(max_examples=150, deadline=None)
@given(cases())
def test_there_and_back_exactly(case):
    volume = numbered(*case.pop("shape"), dtype=case.pop("dtype"))
    image, layout = stitch(volume, case.pop("size"), **case)
    assert image.dtype == volume.dtype
    back = unstitch(image, layout)
    assert back.dtype == volume.dtype
    assert torch.equal(back, volume)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_equals_a_loop_over_slices_one_volume_at_a_time(case):
    volume = numbered(*case.pop("shape"), dtype=torch.int64)
    del case["dtype"]
    images, layout = stitch(volume, fill=-7, **case)
    if volume.ndim == 4:
        volume, images = volume[None], images[None]
    for one, image in zip(volume, images, strict=True):
        assert torch.equal(image, placed_by_loop(one, layout, -7))


@pytest.mark.parametrize(
    ("shape", "grid", "tile"), [((112, 112, 80), 9, 113), ((128, 128, 64), 8, 128), ((112, 112, 64), 8, 128)]
)
def test_layouts_of_the_paper(shape, grid, tile):
    volume = torch.rand(1, *shape)
    image, layout = stitch(volume, 1024)
    assert (layout.grid, layout.tile, layout.images) == (grid, tile, 1)
    assert image.shape == (1, 1, 1024, 1024)
    row, column = 4, 3
    top, left = row * tile + (tile - shape[0]) // 2, column * tile + (tile - shape[1]) // 2
    section = image[0, 0, top : top + shape[0], left : left + shape[1]]
    assert torch.equal(section, volume[0, ..., row * grid + column])


@pytest.mark.parametrize(
    ("shape", "size", "arguments", "expected"),
    [  # grid, tile, images
        ((10, 8, 1), 64, {}, (1, 64, 1)),
        ((10, 8, 5), 64, {}, (3, 21, 1)),
        ((10, 8, 36), 64, {}, (6, 10, 1)),
        ((10, 8, 37), 64, {}, (6, 10, 2)),
        ((10, 8, 37), 64, {"overlap": 35}, (6, 10, 2)),
        ((10, 8, 40), 64, {"overlap": 35}, (6, 10, 5)),
        ((10, 8, 100), 64, {"overlap": 4}, (6, 10, 3)),
        ((10, 8, 100), 64, {"overlap": 5}, (6, 10, 4)),
        ((10, 8, 100), 64, {"fit": "resize"}, (10, 6, 1)),
        ((10, 8, 5), 64, {"tile": 16}, (4, 16, 1)),
        ((64, 64, 3), 64, {}, (1, 64, 3)),
    ],
)
def test_default_grid(shape, size, arguments, expected):
    layout = StitchLayout.fitting(shape, size, **arguments)
    assert (layout.grid, layout.tile, layout.images) == expected


def test_labels_have_the_ignore_index_all_around():
    label = torch.zeros(1, 5, 4, 7, dtype=torch.uint8)
    image, layout = stitch(label, 20, fill=IGNORE_INDEX)
    assert (layout.grid, layout.tile) == (3, 6)
    assert (image == 0).sum() == label.numel()
    assert (image[..., 18:, :] == IGNORE_INDEX).all()
    assert (image[..., 18:] == IGNORE_INDEX).all()
    assert (image[..., 12:, 6:] == IGNORE_INDEX).all()


def test_any_number_of_classes_comes_back():
    _, layout = stitch(torch.rand(2, 1, 5, 6, 11), 15, overlap=1)
    logits = torch.rand(2, layout.images, 4, 15, 15)
    volume = unstitch(logits, layout)
    assert volume.shape == (2, 4, 5, 6, 11)
    one = unstitch(logits[1], layout)
    torch.testing.assert_close(volume[1], one)


def test_slices_on_several_images_are_averaged_or_the_first_is_taken():
    _, layout = stitch(torch.zeros(1, 2, 2, 6), 4, overlap=2)
    assert (layout.grid, layout.images) == (2, 2)
    images = torch.ones(2, 1, 4, 4) * torch.tensor([1.0, 4.0])[:, None, None, None]
    assert unstitch(images, layout)[0, 0, 0].tolist() == [1, 1, 2.5, 2.5, 4, 4]
    assert unstitch(images.to(torch.uint8), layout)[0, 0, 0].tolist() == [1, 1, 1, 1, 4, 4]


def test_pad_cuts_the_middle_and_fills_on_the_way_back():
    volume = numbered(1, 8, 5, 3)
    image, layout = stitch(volume, 12, tile=6, fill=-1)
    assert layout.shown == (6, 5)
    assert torch.equal(image[0, 0, :6, :5], volume[0, 1:7, :, 0])
    for fill, outside in ((None, -1), (9, 9)):
        back = unstitch(image, layout, fill=fill)
        assert torch.equal(back[:, 1:7], volume[:, 1:7])
        assert (back[:, [0, 7]] == outside).all()


def test_resize_keeps_the_aspect_and_comes_back_nearly():
    ramp = torch.linspace(0, 1, 40)[:, None, None].expand(1, 40, 20, 9)
    image, layout = stitch(ramp, 48, fit="resize", fill=2)
    assert (layout.grid, layout.tile, layout.shown) == (3, 16, (16, 8))
    assert (image != 2).sum() == 16 * 8 * 9
    torch.testing.assert_close(unstitch(image, layout), ramp, atol=0.04, rtol=0)
    label = (ramp > 0.5).to(torch.uint8) * IGNORE_INDEX
    image, layout = stitch(label, 48, fit="resize", fill=7)
    assert image.unique().tolist() == [0, 7, IGNORE_INDEX]
    assert torch.equal(unstitch(image, layout), label)


def test_gradients_pass_through():
    volume = torch.rand(1, 3, 2, 7, dtype=torch.float64, requires_grad=True)

    def there_and_back(volume):
        image, layout = stitch(volume, 6, overlap=1)
        return unstitch(image**2, layout)

    assert torch.autograd.gradcheck(there_and_back, (volume,))


def test_input_is_untouched_and_metadata_ends():
    volume = MetaTensor(numbered(1, 3, 4, 5), affine=torch.diag(torch.tensor([2.0, 2, 2, 1])))
    before = volume.clone()
    image, layout = stitch(volume, 8)
    image.fill_(0)
    assert torch.equal(volume, before)
    assert type(image) is torch.Tensor
    assert type(unstitch(MetaTensor(image), layout)) is torch.Tensor


@pytest.mark.parametrize(
    ("shape", "size", "arguments", "message"),
    [
        ((4, 4, 4), 16, {}, r"volume must be \[C, H, W, D\] .* got a shape of \(4, 4, 4\)"),
        ((1, 4, 4, 0), 16, {}, r"at least one voxel, got a shape of \(4, 4, 0\)"),
        ((1, 20, 4, 4), 16, {}, "size must be at least 20, .* got 16"),
        ((1, 4, 20, 4), 16, {"fit": "resize"}, "size must be at least 20, .* got 16"),
        ((1, 4, 4, 4), 0, {}, "size must be at least 4, .* got 0"),
        ((1, 4, 4, 4), 16, {"fit": "crop"}, "fit must be one of pad, resize, got 'crop'"),
        ((1, 4, 4, 4), 16, {"tile": 17}, r"tile must lie in 1\.\.16, .* got 17"),
        ((1, 4, 4, 4), 16, {"tile": 0}, r"tile must lie in 1\.\.16, .* got 0"),
        ((1, 4, 4, 17), 16, {"overlap": 16}, r"overlap must lie in 0\.\.15, less than the 16 tiles .* got 16"),
        ((1, 4, 4, 4), 16, {"overlap": -1}, r"overlap must lie in 0\.\.3, .* got -1"),
    ],
)
def test_bad_input(shape, size, arguments, message):
    with pytest.raises(ValueError, match=message):
        stitch(torch.zeros(shape), size, **arguments)


@pytest.mark.parametrize("fill", [256, -1, 0.5])
def test_a_fill_that_the_type_cannot_hold(fill):
    with pytest.raises(ValueError, match=f"fill must be a whole number from 0 to 255 .* got {fill}"):
        stitch(torch.zeros(1, 2, 2, 2, dtype=torch.uint8), 8, fill=fill)


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 1, 8, 8), (1, 1, 8, 9), (1, 2, 1, 8, 8)])
def test_an_image_of_another_layout(shape):
    _, layout = stitch(torch.zeros(1, 4, 4, 4), 8)
    with pytest.raises(ValueError, match=r"N, size, size = \(1, 8, 8\) of its layout, got a shape of"):
        unstitch(torch.zeros(shape), layout)


def item():
    image = MetaTensor(numbered(1, 5, 4, 10), affine=torch.eye(4))
    return {"image": image, "label": (image.as_tensor() % 3).to(torch.uint8), "scan": "a"}


def stitched_pair():
    return Stitchd(("image", "label"), 16, fill=(0, IGNORE_INDEX), overlap=2)


def test_dictionary_transform_and_its_inverse():
    before = item()
    transform = stitched_pair()
    after = transform(before)
    for key, fill in (("image", 0), ("label", IGNORE_INDEX)):
        assert type(after[key]) is torch.Tensor
        assert torch.equal(after[key], stitch(before[key], 16, overlap=2, fill=fill)[0])
    assert before["image"].shape == (1, 5, 4, 10)
    back = transform.inverse(after)
    for key in ("image", "label"):
        assert torch.equal(back[key], torch.as_tensor(before[key]))
    with pytest.raises(ValueError, match="applied_operations"):
        transform.inverse(back)


def test_inverse_after_batching():
    transform = stitched_pair()
    batch = list_data_collate([transform(item()), transform(item())])
    for one in decollate_batch(batch):
        back = transform.inverse(one)
        assert torch.equal(back["label"], item()["label"])


def test_inverse_of_a_prediction():
    transform = stitched_pair()
    after = transform(item())
    after["pred"] = torch.cat([after["label"], after["label"]], dim=1)
    back = Invertd("pred", transform, orig_keys="label", nearest_interp=False)(after)["pred"]
    assert torch.equal(back.as_tensor(), item()["label"].expand(2, -1, -1, -1))


def test_monai_rotates_and_flips_stitched_images():
    pipeline = Compose(
        [
            stitched_pair(),
            RandRotate90d(("image", "label"), prob=1, spatial_axes=(1, 2)),
            RandFlipd(("image", "label"), prob=0.5, spatial_axis=1),
        ]
    )
    plain = stitched_pair()(item())
    seen = set()
    for seed in range(12):
        after = pipeline.set_random_state(seed)(item())
        seen.add(tuple(after["image"].flatten().tolist()))
        inside = after["label"] != IGNORE_INDEX
        assert torch.equal(after["image"][inside] % 3, after["label"][inside].float())
        assert torch.equal(after["image"].flatten().sort().values, plain["image"].flatten().sort().values)
        assert torch.equal(pipeline.inverse(after)["image"], item()["image"].as_tensor())
    assert len(seen) == 6
