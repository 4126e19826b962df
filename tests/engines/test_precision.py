"""Which precision is taken where, and that its gradients are right."""

import pytest
import torch
from torch import nn

from common.engines import autocast, best_precision


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast(precision, dtype):
    with autocast("cpu", precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_unknown_precision():
    with pytest.raises(ValueError, match="fp32, bf16, fp16, got 'half'"):
        autocast("cpu", "half")


def test_the_best_precision_of_a_cpu():
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert best_precision("cpu") == ("bf16" if native else "fp32")


def _gradients(convolution, images, precision):
    convolution.zero_grad()
    with autocast("cpu", precision):
        outputs = convolution(images)
    weights = torch.linspace(-1, 1, outputs.numel()).reshape(outputs.shape)
    (outputs.float() * weights).sum().backward()
    return outputs, [parameter.grad.clone() for parameter in convolution.parameters()]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize(
    ("kernel", "stride", "size", "small"),
    [
        (3, 1, (2, 4, 4), True),
        (3, 1, (3, 3, 2), False),
        (3, 2, (8, 8, 1), True),
        (3, 2, (4, 1, 4), True),
        (5, 1, (4, 4, 3), True),
        (5, 1, (8, 1, 8), True),
        (5, 1, (5, 5, 3), False),
        (7, 1, (8, 2, 8), True),
    ],
)
def test_bf16_gradients_on_the_cpu_are_those_of_fp32(kernel, stride, size, small, layout):
    torch.manual_seed(0)
    convolution = nn.Conv3d(16, 16, kernel, stride=stride, padding=kernel // 2).to(memory_format=layout)
    images = torch.randn(2, 16, *size).contiguous(memory_format=layout)
    outputs, gradients = _gradients(convolution, images, "bf16")
    _, expected = _gradients(convolution, images, "fp32")
    assert outputs.dtype == (torch.float32 if small else torch.bfloat16)
    for gradient, reference in zip(gradients, expected, strict=True):
        assert (gradient - reference).norm() <= 0.02 * reference.norm()


def test_other_ways_to_call_a_convolution():
    images, weight = torch.randn(1, 4, 2, 6, 6), torch.randn(4, 4, 3, 3, 3, requires_grad=True)
    expected = torch.conv3d(images, weight, None, 1, 1)
    with autocast("cpu", "bf16"):
        named = torch.nn.functional.conv3d(input=images, weight=weight, padding=1)
        unbatched = torch.conv3d(images[0].bfloat16(), weight, padding="same")
    assert torch.equal(named, expected)
    torch.testing.assert_close(unbatched, expected[0], rtol=0.05, atol=0.2)


def test_networks_in_bf16_stay_in_bf16():
    convolution = nn.Conv3d(2, 2, 3, padding=1).bfloat16()
    with autocast("cpu", "bf16"):
        assert convolution(torch.randn(1, 2, 2, 4, 4)).dtype == torch.bfloat16
