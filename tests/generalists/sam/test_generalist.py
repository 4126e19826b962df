from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from reference_sam import as_rgb, sam_predictor
from torch.nn import functional as F

from common.generalists import Prompts
from common.generalists.sam.embeddings import EmbeddingCache
from common.generalists.sam.generalist import SamGeneralist
from common.generalists.sam.models import KINDS, build_vit_sam
from common.generalists.sam.usage import SAM, Usage


def lively(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Random weights that make the masks and their predicted quality differ from prompt to prompt."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim == 1 and "bias" in name:
                value.normal_(0, 0.1, generator=generator)
            elif "mask_decoder" in name and value.ndim > 1:
                value.mul_(1.5)
    return model


@pytest.fixture(scope="module")
def small() -> torch.nn.Module:
    torch.manual_seed(0)
    return lively(build_vit_sam(48, 3, 3, (1,), image_size=256, window=5))


def slices(number: int, shape: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """Smooth whole grey levels that reach from 0 to 255, so that nothing is lost when they are scaled to that range."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand(number, 1, 6, 6, generator=generator)
    smooth = F.interpolate(rough, shape, mode="bicubic")[:, 0]
    low, high = smooth.amin((1, 2), keepdim=True), smooth.amax((1, 2), keepdim=True)
    return ((smooth - low) / (high - low) * 255).round()


def random_prompts(number: int, slices: int, shape: tuple[int, int], points: int, seed: int = 1) -> Prompts:
    generator = torch.Generator().manual_seed(seed)
    rows, columns = shape
    first = torch.rand(number, 2, generator=generator) * torch.tensor([columns - 3, rows - 3])
    size = 2 + torch.rand(number, 2, generator=generator) * (torch.tensor([columns, rows]) - first - 2)
    places = (torch.rand(number, points, 2, generator=generator) * torch.tensor([columns, rows])).floor()
    return Prompts(
        boxes=torch.cat([first, first + size], dim=1),
        points=places,
        point_labels=torch.randint(0, 2, (number, points), generator=generator),
        slice_index=torch.sort(torch.randint(0, slices, (number,), generator=generator)).values,
        classes=torch.ones(number, dtype=torch.long),
    )


def reference_logits(reference: Any, images: torch.Tensor, prompts: Prompts) -> torch.Tensor:
    """One `set_image` per slice and one `predict` per prompt; the best of the three masks by predicted IoU."""
    found, last = [], None
    for number in range(len(prompts)):
        if prompts.slice_index[number] != last:
            last = prompts.slice_index[number]
            reference.set_image(as_rgb(images[last].numpy()))
        there = prompts.point_labels[number] != -1
        masks, quality, _ = reference.predict(
            point_coords=prompts.points[number][there].numpy() if there.any() else None,
            point_labels=prompts.point_labels[number][there].numpy() if there.any() else None,
            box=(prompts.boxes[number] - torch.tensor([0, 0, 1, 1])).numpy(),
            return_logits=True,
        )
        found.append(torch.from_numpy(masks[int(np.argmax(quality))]))
    return torch.stack(found)


def close(probabilities: torch.Tensor, logits: torch.Tensor) -> bool:
    return torch.allclose(probabilities.double().logit(), logits.double(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("points", [0, 1, 5])
def test_equals_the_reference_where_slices_need_no_scaling(small: torch.nn.Module, points: int) -> None:
    images = slices(3, (256, 201))
    prompts = random_prompts(7, 3, (256, 201), points)

    found = SamGeneralist(small, precision="fp32", decoder_batch=3).segment(images, prompts)
    expected = reference_logits(sam_predictor()(small), images, prompts)

    assert expected.std() > 0.05
    assert close(found, expected)


@pytest.mark.parametrize("shape", [(40, 57), (57, 40), (300, 211), (9, 130), (31, 31)])
def test_odd_shapes_differ_from_the_reference_by_the_resize_alone(
    small: torch.nn.Module, shape: tuple[int, int]
) -> None:
    images = slices(2, shape)
    prompts = random_prompts(4, 2, shape, 3)
    generalist = SamGeneralist(small, precision="fp32")
    reference = sam_predictor()(small)

    own = []
    for image in images:
        reference.set_image(as_rgb(image.numpy()))
        theirs = reference.transform.apply_image(as_rgb(image.numpy()))[..., 0].astype(float)
        canvas = generalist.canvas(shape)
        ours = canvas.enlarge(image[None])[0].numpy()
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).mean() < 0.5 and np.abs(ours - theirs).max() <= 1
        own.append(ours)

    # With the reference's own resize in its place, nothing differs.
    class SameResize:
        size = reference.transform

        def apply_image(self, image: np.ndarray) -> np.ndarray:
            number = next(n for n, it in enumerate(images) if np.array_equal(as_rgb(it.numpy()), image))
            return as_rgb(own[number])

        def __getattr__(self, name: str):
            return getattr(self.size, name)

    reference.transform = SameResize()
    assert close(generalist.segment(images, prompts), reference_logits(reference, images, prompts))


@pytest.mark.slow
def test_vit_b_equals_the_reference() -> None:
    torch.manual_seed(0)
    model = lively(KINDS["sam_vit_b"].build())
    images = slices(1, (1024, 700))
    prompts = random_prompts(3, 1, (1024, 700), 2)

    assert close(
        SamGeneralist(model, precision="fp32").segment(images, prompts),
        reference_logits(sam_predictor()(model), images, prompts),
    )


def test_medsam_as_published(small: torch.nn.Module) -> None:
    """A square input of 0..1, the box alone, one mask; its probability, not its logit, is scaled to the slice."""
    shape = (90, 61)
    images = slices(1, shape)
    prompts = random_prompts(2, 1, shape, 3)
    generalist = SamGeneralist(small, usage=KINDS["medsam"].usage, precision="fp32")

    side = small.image_encoder.img_size
    square = generalist.canvas(shape).enlarge(images)
    unit = (square - square.min()) / (square.max() - square.min())
    with torch.no_grad():
        embedding = small.image_encoder(unit[:, None].repeat(1, 3, 1, 1))
        for number, found in enumerate(generalist.segment(images, prompts)):
            corners = prompts.boxes[number] - torch.tensor([0, 0, 1, 1])
            box = corners / torch.tensor([shape[1], shape[0]] * 2) * side
            sparse, dense = small.prompt_encoder(points=None, boxes=box[None, None, :], masks=None)
            low, _ = small.mask_decoder(
                image_embeddings=embedding,
                image_pe=small.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
            expected = F.interpolate(low.sigmoid(), shape, mode="bilinear", align_corners=False)[0, 0]
            assert torch.allclose(found, expected, atol=1e-5)


def test_medsams_resize_is_within_a_grey_level_of_the_published_one(small: torch.nn.Module) -> None:
    from skimage.transform import resize

    image = slices(1, (140, 183))
    ours = SamGeneralist(small, usage=KINDS["medsam"].usage).canvas((140, 183)).enlarge(image)[0].numpy()
    theirs = resize(image[0].numpy(), (256, 256), order=3, preserve_range=True, anti_aliasing=True)
    assert np.abs(ours - theirs.astype(np.uint8)).mean() < 1


def test_batches_equal_one_by_one_and_padding_points_are_ignored(small: torch.nn.Module) -> None:
    images = slices(4, (50, 64))
    prompts = random_prompts(9, 4, (50, 64), 4)
    prompts.point_labels[2:5, 1] = -1
    prompts.point_labels[4] = -1
    together = SamGeneralist(small, precision="fp32", encoder_batch=3, decoder_batch=4).segment(images, prompts)
    alone = SamGeneralist(small, precision="fp32")
    for number in range(len(prompts)):
        one = prompts[number : number + 1]
        kept = one.point_labels[0] != -1
        bare = Prompts(one.boxes, one.points[:, kept], one.point_labels[:, kept], one.slice_index, one.classes)
        assert torch.allclose(alone.segment(images, bare)[0], together[number], atol=1e-6)


def test_intensity_scale_and_offset_change_nothing(small: torch.nn.Module) -> None:
    images = slices(2, (40, 40))
    prompts = random_prompts(3, 2, (40, 40), 2)
    generalist = SamGeneralist(small, precision="fp32")
    assert torch.allclose(
        generalist.segment(images, prompts), generalist.segment(images * 3.7 - 120, prompts), atol=1e-5
    )


def test_bf16_is_close(small: torch.nn.Module) -> None:
    images = slices(2, (40, 40))
    prompts = random_prompts(3, 2, (40, 40), 2)
    exact, fast = (
        SamGeneralist(small, precision=it, usage=Usage(best_of_three=False)).segment(images, prompts)
        for it in ("fp32", "bf16")
    )
    assert (exact - fast).abs().max() < 0.05


class TestInput:
    def test_without_prompts(self, small: torch.nn.Module, tmp_path) -> None:
        prompts = random_prompts(2, 1, (20, 30), 2)[:0]
        generalist = SamGeneralist(small, cache=EmbeddingCache(tmp_path))
        assert generalist.segment(slices(1, (20, 30)), prompts).shape == (0, 20, 30)
        assert not list(tmp_path.iterdir())

    def test_a_box_outside_the_slice_finds_nothing_and_does_not_affect_others(self, small: torch.nn.Module) -> None:
        images = slices(1, (20, 30))
        prompts = random_prompts(3, 1, (20, 30), 2)
        alone = SamGeneralist(small, precision="fp32").segment(images, prompts[2:])
        prompts.boxes[0] = torch.tensor([40.0, 2.0, 50.0, 9.0])
        prompts.boxes[1] = torch.tensor([-9.0, -9.0, 0.0, 5.0])
        found = SamGeneralist(small, precision="fp32").segment(images, prompts)
        assert (found[:2] == 0).all()
        assert torch.allclose(found[2:], alone, atol=1e-6)

    def test_a_box_is_clipped_to_the_slice(self, small: torch.nn.Module) -> None:
        images = slices(1, (20, 30))
        prompts = random_prompts(2, 1, (20, 30), 2)
        prompts.boxes[0] = torch.tensor([-5.0, 3.0, 99.0, 99.0])
        prompts.boxes[1] = torch.tensor([0.0, 3.0, 30.0, 20.0])
        prompts.points[1], prompts.point_labels[1] = prompts.points[0], prompts.point_labels[0]
        found = SamGeneralist(small, precision="fp32").segment(images, prompts)
        assert torch.equal(found[0], found[1])

    @pytest.mark.parametrize("usage", [SAM, KINDS["medsam"].usage, KINDS["lite_medsam"].usage])
    def test_one_pixel_and_a_constant_slice(self, small: torch.nn.Module, usage: Usage) -> None:
        prompts = random_prompts(1, 1, (8, 8), 0)
        prompts.boxes[0] = torch.tensor([0.0, 0.0, 1.0, 1.0])
        found = SamGeneralist(small, usage=usage).segment(torch.full((1, 1, 1), 3.0), prompts)
        assert found.shape == (1, 1, 1) and torch.isfinite(found).all()

    def test_nan(self, small: torch.nn.Module) -> None:
        images = slices(2, (20, 30))
        images[1, 3, 4] = torch.nan
        prompts = random_prompts(1, 1, (20, 30), 1)
        SamGeneralist(small).segment(images, prompts)
        prompts.slice_index[0] = 1
        with pytest.raises(ValueError, match=r"finite.*1 voxels"):
            SamGeneralist(small).segment(images, prompts)

    def test_settings(self, small: torch.nn.Module) -> None:
        with pytest.raises(ValueError, match=r"slices_per_pass must be 1, 4, 9, 16 .* got 8"):
            SamGeneralist(small, slices_per_pass=8)
        with pytest.raises(ValueError, match="decoder_batch must be at least 1"):
            SamGeneralist(small, decoder_batch=-1)
        with pytest.raises(ValueError, match="precision must be one of"):
            SamGeneralist(small, precision="half")


class TestCache:
    def test_later_rounds_never_encode_and_give_the_same(self, small: torch.nn.Module, tmp_path) -> None:
        images = slices(5, (30, 40))
        prompts = random_prompts(6, 5, (30, 40), 2)
        first = counting(small, tmp_path)
        before = first.segment(images, prompts)
        later = counting(small, tmp_path)
        assert torch.equal(later.segment(images, prompts), before)
        assert first.encoded == len(prompts.slice_index.unique()) and later.encoded == 0
        assert len(list(tmp_path.iterdir())) == 1

    def test_only_new_slices_are_encoded(self, small: torch.nn.Module, tmp_path) -> None:
        images = slices(5, (30, 40))
        prompts = random_prompts(12, 5, (30, 40), 2)
        half = prompts[prompts.slice_index < 2]
        counting(small, tmp_path).segment(images, half)
        second = counting(small, tmp_path)
        found = second.segment(images, prompts)
        assert second.encoded == len(prompts.slice_index.unique()) - len(half.slice_index.unique())
        assert torch.equal(found, counting(small, tmp_path / "other").segment(images, prompts))

    def test_another_image_model_or_preparation_is_encoded(self, small: torch.nn.Module, tmp_path) -> None:
        images = slices(2, (30, 40))
        prompts = random_prompts(2, 1, (30, 40), 2)
        counting(small, tmp_path).segment(images, prompts)
        torch.manual_seed(1)
        others = {
            "image": (counting(small, tmp_path), images + torch.eye(30, 40)),
            "model": (counting(build_vit_sam(48, 3, 3, (1,), 256, 5), tmp_path), images),
            "grid": (counting(small, tmp_path, slices_per_pass=4), images),
            "precision": (counting(small, tmp_path, precision="bf16"), images),
            "usage": (counting(small, tmp_path, usage=KINDS["medsam"].usage), images),
        }
        for generalist, image in others.values():
            generalist.segment(image, prompts)
            assert generalist.encoded == 1
        assert len(list(tmp_path.iterdir())) == 6

    def test_an_embedding_lost_by_truncation_is_recomputed(self, small: torch.nn.Module, tmp_path, caplog) -> None:
        images = slices(2, (30, 40))
        prompts = random_prompts(2, 2, (30, 40), 2)
        before = counting(small, tmp_path).segment(images, prompts)
        (file,) = tmp_path.iterdir()
        file.write_bytes(file.read_bytes()[:-1000])
        again = counting(small, tmp_path)
        assert torch.equal(again.segment(images, prompts), before)
        assert again.encoded == 1 and f"{file} is truncated" in caplog.text
        last = counting(small, tmp_path)
        last.segment(images, prompts)
        assert last.encoded == 0

    def test_a_flipped_bit_is_found(self, small: torch.nn.Module, tmp_path, caplog) -> None:
        images = slices(2, (30, 40))
        prompts = random_prompts(2, 2, (30, 40), 2)
        before = counting(small, tmp_path).segment(images, prompts)
        (file,) = tmp_path.iterdir()
        content = bytearray(file.read_bytes())
        content[5000] ^= 1
        file.write_bytes(content)
        again, last = counting(small, tmp_path), counting(small, tmp_path)
        assert torch.equal(again.segment(images, prompts), before)
        assert again.encoded == 1 and f"{file}: 1 of its embeddings are damaged" in caplog.text
        assert torch.equal(last.segment(images, prompts), before) and last.encoded == 0

    def test_a_folder_that_cannot_be_written_costs_only_time(self, small: torch.nn.Module, tmp_path, caplog) -> None:
        (tmp_path / "file").write_text("no folder")
        images = slices(2, (30, 40))
        prompts = random_prompts(2, 2, (30, 40), 2)
        generalist = counting(small, tmp_path / "file")
        first, second = generalist.segment(images, prompts), generalist.segment(images, prompts)
        assert torch.equal(first, second)
        assert caplog.text.count("cannot be written") == 1


def counting(model: torch.nn.Module, folder, **settings) -> SamGeneralist:
    """A generalist with a cache that counts the images it encodes."""

    class Counting(SamGeneralist):
        encoded = 0

        def _encode(self, images, passes, canvas):
            self.encoded += len(passes)
            return super()._encode(images, passes, canvas)

    return Counting(model, cache=EmbeddingCache(folder), **({"precision": "fp32"} | settings))
