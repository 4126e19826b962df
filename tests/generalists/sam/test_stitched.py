from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from common.generalists.sam import StitchedSam, usage_of
from common.generalists.sam.models import build_vit_sam, with_masks
from common.generalists.sam.stitched import CONFIDENCE_VIEWS, StitchedView

ALL_VIEWS = [StitchedView(*it) for it in itertools.product(range(4), (False, True), (False, True))]


class Echo(nn.Module):
    """A SAM whose c-th mask is the image times c + 1, pixel by pixel."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.image_encoder = nn.Identity()
        self.prompt_encoder = EchoPrompts(side)
        self.mask_decoder = EchoDecoder()


class EchoPrompts(nn.Module):
    def __init__(self, side: int) -> None:
        super().__init__()
        self.input_image_size = (side, side)

    def get_dense_pe(self):
        return torch.zeros(1)

    def forward(self, points, boxes, masks):
        return torch.zeros(1, 0, 1), torch.zeros(1, 1, 1, 1)


class EchoDecoder(nn.Module):
    num_mask_tokens = 4

    def forward(self, image_embeddings, image_pe, sparse_prompt_embeddings, dense_prompt_embeddings, multimask_output):
        return dense_prompt_embeddings[:, :1] * torch.arange(1, 4).view(1, 3, 1, 1), None


@pytest.mark.parametrize("view", ALL_VIEWS)
@pytest.mark.parametrize("shape", [(1, 1, 12, 10, 7), (2, 1, 9, 16, 5)])
def test_every_voxel_comes_back_to_its_place_in_every_view(view: StitchedView, shape: tuple[int, ...]) -> None:
    volume = torch.randn(shape)
    network = StitchedSam(Echo(64), num_classes=3).eval()
    network.view = view
    expected = torch.cat([volume, 2 * volume, 3 * volume], dim=1)
    assert torch.equal(network(volume), expected)


def test_sam_sees_another_picture_in_each_view() -> None:
    seen = []
    network = StitchedSam(Echo(64)).eval()
    network.sam.image_encoder.register_forward_hook(lambda module, given, output: seen.append(output.clone()))
    for view in ALL_VIEWS:
        network.view = view
        network(torch.randn(1, 1, 12, 10, 7, generator=torch.Generator().manual_seed(0)))
    assert len({picture.numpy().tobytes() for picture in seen}) == len(ALL_VIEWS)


def test_training_turns_at_random_and_evaluation_does_not() -> None:
    torch.manual_seed(0)
    small = StitchedSam(build_vit_sam(32, 1, 2, (0,), 64)).train()
    volume = torch.randn(1, 1, 16, 16, 9)
    with torch.no_grad():
        trained = [small(volume) for _ in range(16)]
        assert len({it.numpy().tobytes() for it in trained}) in (3, 4)
        still = StitchedSam(small.sam, augment=False).train()
        assert torch.equal(still(volume), still(volume))
        assert torch.equal(small.eval()(volume), still(volume))


@pytest.mark.parametrize(
    ("shares", "views"),
    [
        ({}, {StitchedView(turns, True, False) for turns in range(4)}),
        ({"mirrored": 0.0}, {StitchedView(turns, False, False) for turns in range(4)}),
        ({"mirrored": 0.5, "reversed_slices": 0.5}, set(ALL_VIEWS)),
        ({"mirrored": 0.0, "reversed_slices": 1.0}, {StitchedView(turns, False, True) for turns in range(4)}),
    ],
)
def test_views_in_training_by_their_shares(shares, views) -> None:
    torch.manual_seed(0)
    network = StitchedSam(Echo(64), **shares)
    drawn = [network._random_view() for _ in range(3200)]
    assert set(drawn) == views
    expected = len(drawn) / len(views)
    assert all(abs(drawn.count(view) - expected) < 5 * expected**0.5 for view in views)


@pytest.mark.parametrize("share", [{"mirrored": 1.5}, {"reversed_slices": -0.1}])
def test_shares_out_of_range_are_refused(share) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(share))} must lie in 0..1, got {next(iter(share.values()))}"):
        StitchedSam(Echo(64), **share)


def test_enlarged_slices_come_back_in_their_size() -> None:
    small = StitchedSam(build_vit_sam(32, 1, 2, (0,), 64), enlarge=2).eval()
    with torch.no_grad():
        assert small(torch.randn(2, 1, 15, 13, 4)).shape == (2, 2, 15, 13, 4)


def test_layout_of_a_window() -> None:
    """9 slices of 32 x 20, enlarged to 48 x 30, in 2 x 2 tiles of 64: 3 images, since 3 x 3 tiles are too small."""
    layout = StitchedSam(Echo(128), num_classes=2, enlarge=1.5).layout((32, 20, 9))
    assert (layout.shape, layout.tile, layout.images) == ((48, 30, 9), 64, 3)
    with pytest.raises(ValueError, match=r"size must be at least 150, .* got 128"):
        StitchedSam(Echo(128), num_classes=2, enlarge=1.5).layout((32, 100, 9))


def test_models_that_expect_intensities_from_0_to_1_get_them_for_each_volume() -> None:
    volumes = torch.tensor([[-1.0, 0.0, 3.0, 1.0], [5.0, 5.0, 5.0, 5.0]]).view(2, 1, 2, 2, 1)
    network = StitchedSam(Echo(64), num_classes=2, unit_range=True).eval()
    scaled = torch.tensor([[0.0, 0.25, 1.0, 0.5], [0.0, 0.0, 0.0, 0.0]]).view(2, 1, 2, 2, 1)
    assert torch.equal(network(volumes), torch.cat([scaled, 2 * scaled], dim=1))


@pytest.mark.parametrize(("kind", "unit_range"), [("small", False), ("mobile_sam", False), ("lite_medsam", True)])
def test_each_kind_says_how_it_expects_intensities(kind, unit_range) -> None:
    assert usage_of(kind).unit_range is unit_range


def test_saving_memory_changes_no_gradient() -> None:
    torch.manual_seed(0)
    volume = torch.randn(1, 1, 16, 16, 9)
    gradients = []
    for save_memory in (False, True):
        torch.manual_seed(1)
        network = StitchedSam(build_vit_sam(32, 2, 2, (1,), 64), augment=False, save_memory=save_memory).train()
        network(volume).square().mean().backward()
        gradients.append({name: it.grad for name, it in network.named_parameters() if it.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and any("blocks.0" in name for name in gradients[0])
    assert all(torch.allclose(gradients[1][name], it, atol=1e-7) for name, it in gradients[0].items())


def test_more_classes_than_masks_keep_what_the_decoder_knows() -> None:
    sam = build_vit_sam(32, 1, 2, (0,), 64)
    assert with_masks(sam, 3) is sam
    former = {name: value.clone() for name, value in sam.mask_decoder.state_dict().items()}
    network = StitchedSam(sam, num_classes=6).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 1, 16, 16, 4)).shape[1] == 6
    now = network.sam.mask_decoder.state_dict()
    assert all(torch.equal(now[name][: len(value)], value) for name, value in former.items())
    assert now["mask_tokens.weight"].shape[0] == 7 and now["iou_prediction_head.layers.2.weight"].shape[0] == 7


def test_views_of_the_confidence_differ() -> None:
    assert len(set(CONFIDENCE_VIEWS)) == len(CONFIDENCE_VIEWS) >= 3
    assert len({view.reverse for view in CONFIDENCE_VIEWS}) == 2
