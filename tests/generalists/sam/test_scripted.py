"""The stitched SAM as TorchScript, against itself as Python code."""

import io

import pytest
import torch

from common.generalists.sam import StitchedSam, add_lora
from common.generalists.sam.models import build_sam, build_vit_sam
from common.generalists.sam.stitched import CONFIDENCE_VIEWS
from common.generalists.sam.tiny_vit import TinyViT

SHAPES = [(1, 8, 8, 1), (2, 40, 24, 17), (1, 60, 61, 5)]
"""Batch, rows, columns and slices: one slice; two and five images where slices are small, and are large."""


def small_sam():
    torch.manual_seed(0)
    return build_vit_sam(32, 2, 2, (1,), 128, window=3)


def saved_and_loaded(script):
    file = io.BytesIO()
    torch.jit.save(script, file)
    file.seek(0)
    return torch.jit.load(file)


@pytest.mark.parametrize(
    ("build", "settings"),
    [
        (small_sam, {"num_classes": 3}),
        (lambda: add_lora(small_sam(), 4), {"num_classes": 5, "enlarge": 2, "unit_range": True}),
    ],
)
def test_torchscript_gives_the_same_logits_for_volumes_of_every_size(build, settings):
    network = StitchedSam(build(), **settings).eval()
    script = saved_and_loaded(torch.jit.script(network))
    with torch.no_grad():
        for batch, *size in SHAPES:
            volume = torch.randn(batch, 1, *size)
            torch.testing.assert_close(script(volume), network(volume), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_torchscript_of_an_encoder_with_fused_layers():
    network = StitchedSam(build_sam(TinyViT(patch=1, classes=0), 256, token=4), unit_range=True).eval()
    script, volume = torch.jit.script(network), torch.randn(1, 1, 60, 61, 5)
    with torch.no_grad():
        torch.testing.assert_close(script(volume), network(volume), rtol=0, atol=1e-5)


def test_the_weights_are_those_at_the_time_of_compiling():
    network = StitchedSam(small_sam()).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
        volume = torch.randn(1, 1, 16, 16, 4)
        assert torch.equal(torch.jit.script(network)(volume), network(volume))


def test_torchscript_refuses_slices_larger_than_the_image():
    script = torch.jit.script(StitchedSam(small_sam(), enlarge=2).eval())
    with pytest.raises(torch.jit.Error, match="expected slices of at most 128 pixels a side, got 130 × 20"):
        script(torch.zeros(1, 1, 65, 10, 2))


def test_other_views_are_not_compiled():
    network = StitchedSam(small_sam()).eval()
    network.view = CONFIDENCE_VIEWS[1]
    with pytest.raises(ValueError, match=r"view must be StitchedView\(turns=0, flip=False, reverse=False\)"):
        torch.jit.script(network)


def test_a_trace_refuses_volumes_of_another_size():
    network = StitchedSam(small_sam()).eval()
    trace = saved_and_loaded(torch.jit.trace(network, torch.zeros(1, 1, 16, 16, 4), check_trace=False))
    volume = torch.randn(2, 1, 16, 16, 4)
    with torch.no_grad():
        torch.testing.assert_close(trace(volume), network(volume), rtol=0, atol=1e-5)
        for size in ((32, 32, 4), (16, 16, 5)):
            with pytest.raises(torch.jit.Error, match=r"expected an input of size \[1, 16, 16, 4\] after the batch"):
                trace(torch.zeros(1, 1, *size))
