"""TinyViT, against the reference implementation where that is installed."""

import pytest
import torch
import torch.nn.functional as F
from reference_sam import MOBILE_SAM, tiny_vit
from torch import nn

from common.generalists.sam import tiny_vit as tiny_vit_module
from common.generalists.sam.fused import attend, convolve, linear
from common.generalists.sam.tiny_vit import TinyViT

SMALL = {"dims": (16, 24, 32, 320), "depths": (1, 2, 1, 1), "heads": (1, 2, 4, 10), "windows": (7, 7, 14, 7)}
"""The reference halves the resolution unless the channels are 320, so these must be the last."""


@pytest.fixture(scope="module")
def reference():
    """Builds the reference with given settings; by default those with which MobileSAM builds it."""
    found = tiny_vit()
    if found is None:
        pytest.skip("the reference is not installed: pip install mobilesam-mirror")

    def build(size=1024, **settings):
        names = {"dims": "embed_dims", "heads": "num_heads", "windows": "window_sizes"}
        changed = {names.get(name, name): value for name, value in settings.items()}
        return found(size, **MOBILE_SAM | changed, drop_path_rate=0.0, layer_lr_decay=0.8)

    return build


def random_state(network, seed=0):
    """Weights that keep activations near one in size and let every parameter and buffer matter."""
    generator = torch.Generator().manual_seed(seed)

    def value_of(name, value):
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("num_batches_tracked"):
            return value
        if name.endswith("running_var"):
            return 1 + noise.abs()
        if name.endswith("attention_biases"):
            return 2 * noise
        if value.ndim > 1:
            return noise * (1.5 / value[0].numel()) ** 0.5
        return 0.1 * noise + (1 if name.endswith("weight") else 0)

    return {name: value_of(name, value) for name, value in network.state_dict().items()}


def small(seed=0):
    network = TinyViT(**SMALL)
    network.load_state_dict(random_state(network, seed))
    return network.eval()


def images(batch=1, height=128, width=128, seed=0):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def reference_embedding(network, x):
    """The reference's forward pass, whose last view is made for images of 1024 x 1024 alone."""
    side = x.shape[-1] // 16
    x = network.patch_embed(x)
    for layer in network.layers:
        x = layer(x)
    return network.neck(x.transpose(1, 2).unflatten(2, (side, side)))


def test_state_dict_is_that_of_the_reference(reference):
    theirs = {name: value.shape for name, value in reference().state_dict().items()}
    assert {name: value.shape for name, value in TinyViT().state_dict().items()} == theirs


@pytest.mark.parametrize("size", [112, 128, 256])
def test_embedding_is_that_of_the_reference(reference, size):
    theirs = reference(size, **SMALL)
    ours = TinyViT(**SMALL).eval()
    state = random_state(ours)
    ours.load_state_dict(state)
    theirs.load_state_dict(state)
    theirs.eval()  # after loading: it keeps the biases it had when it last entered evaluation
    with torch.inference_mode():
        expected = reference_embedding(theirs, images(2, size, size))
        found = ours(images(2, size, size))
    assert 0.1 < expected.std() < 10
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_mobile_sam_embedding_is_that_of_the_reference(reference):
    theirs, ours = reference(), TinyViT().eval()
    state = random_state(ours)
    ours.load_state_dict(state)
    theirs.load_state_dict(state)
    theirs.eval()
    with torch.inference_mode():
        expected = theirs(images(1, 1024, 1024))
        found = ours(images(1, 1024, 1024))
    assert found.shape == (1, 256, 64, 64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_training_mode_is_that_of_the_reference(reference):
    theirs, ours = reference(64, **SMALL), TinyViT(**SMALL)
    state = random_state(ours)
    ours.load_state_dict(state)
    theirs.load_state_dict(state)
    theirs.train()
    expected, found = reference_embedding(theirs, images(2, 64, 64)), ours.train()(images(2, 64, 64))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    expected.square().mean().backward()
    found.square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters() if parameter.grad is not None}
    trained = {name: parameter for name, parameter in ours.named_parameters() if parameter.requires_grad}
    assert trained.keys() == gradients.keys()
    for name, parameter in trained.items():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-3, atol=1e-4, msg=name)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, msg=name)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160), (100, 33)])
def test_shape(height, width):
    network = small()
    with torch.inference_mode():
        assert network(images(2, height, width)).shape == (2, 256, -(-height // 16), -(-width // 16))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 40), (25, 9)])
def test_shape_with_pixels_as_tokens(height, width):
    network = TinyViT(**SMALL, patch=1, classes=0).eval()
    with torch.inference_mode():
        assert network(images(2, height, width)).shape == (2, 256, -(-height // 4), -(-width // 4))
    assert not any("head" in name for name in network.state_dict())


def test_batch_is_its_images_one_by_one():
    network, x = small(), images(3)
    with torch.inference_mode():
        together, apart = network(x), torch.cat([network(image[None]) for image in x])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-5)


def test_memory_format_does_not_matter():
    network, x = small(), images(2)
    with torch.inference_mode():
        expected, found = network(x), network(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_bf16_is_close_to_fp32():
    network, x = small(), images()
    with torch.inference_mode():
        expected = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            found = network(x)
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).square().mean().sqrt() < 0.03 * expected.std()


@pytest.mark.parametrize(("height", "width"), [(64, 48), (63, 40), (41, 33)])
@pytest.mark.parametrize("patch", [1, 4])
def test_strips_do_not_matter(monkeypatch, patch, height, width):
    """Neither where they end: strips of 8 rows against one for the whole image, for even and odd numbers of rows."""
    network = TinyViT(**SMALL, patch=patch)
    network.load_state_dict(random_state(network))
    x = images(2, height, width)
    with torch.inference_mode():
        monkeypatch.setattr(tiny_vit_module, "STRIP", 1000)
        expected = network.eval()(x)
        monkeypatch.setattr(tiny_vit_module, "STRIP", 8)
        found = network(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_gelu_in_one_step_or_two_gives_the_same():
    """It takes two where gradients are needed."""
    network, x = small(), images(2, 64, 96)
    with torch.no_grad():
        found = network(x)
    torch.testing.assert_close(found, network(x).detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("bf16", [False, True])
def test_one_step_equals_the_layers(bf16):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 5, 7, generator=generator).contiguous(memory_format=torch.channels_last)
    convolution = nn.Conv2d(6, 4, 3, stride=2, padding=1, groups=2)
    layer = nn.Linear(7, 3)
    with torch.inference_mode():
        expected = F.gelu(convolution(x)), F.gelu(layer(x)), layer(x)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            convolved = convolve(x, convolution.weight, convolution.bias, convolution, gelu=True)
            found = convolved, linear(x, layer, gelu=True), linear(x, layer)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == (torch.bfloat16 if bf16 else torch.float32) and ours.shape == theirs.shape
        torch.testing.assert_close(ours.float(), theirs, rtol=0, atol=0.03 if bf16 else 1e-6)


@pytest.mark.parametrize("bf16", [False, True])
def test_attention_is_that_of_pytorch(bf16):
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 5, 9, 4, generator=generator).unbind()
    bias = torch.randn(2, 1, 9, 9, generator=generator)
    with torch.inference_mode():
        expected = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        found = attend(*(it.to(torch.bfloat16 if bf16 else torch.float32) for it in (query, key, value, bias)))
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.03 if bf16 else 1e-6)


def test_evaluation_follows_new_weights():
    network = small(seed=0)
    with torch.inference_mode():
        network(images())
    other = small(seed=1)
    network.load_state_dict(other.state_dict())
    with torch.inference_mode():
        assert torch.equal(network(images()), other(images()))


@pytest.mark.parametrize("training", [True, False])
def test_gradients_reach_all_but_the_classifier(training):
    network = small().train(training)
    network(images(2, 64, 64)).square().mean().backward()
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert without == {"norm_head.weight", "norm_head.bias", "head.weight", "head.bias"}
    assert all(p.grad.abs().sum() > 0 for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depths": (1, 1)}, "one value for each of two or more stages, got 4, 2, 4 and 4"),
        ({"dims": (16,), "depths": (1,), "heads": (1,), "windows": (7,)}, "got 1, 1, 1 and 1"),
        ({"heads": (1, 3, 4, 10)}, "divisible by its heads, got 16 and 3"),
        ({"patch": 2}, "patch must be 4 .* or 1 .*, got 2"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        TinyViT(**({"dims": (16, 16, 16, 320)} | settings))
