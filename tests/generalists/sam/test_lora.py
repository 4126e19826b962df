from __future__ import annotations

from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from common.generalists.sam import add_lora, load_adapter, merge_lora, save_adapter
from common.generalists.sam.lora import LowRankQKV
from common.generalists.sam.models import KINDS, build_sam, build_vit_sam, state_digest
from common.generalists.sam.tiny_vit import TinyViT

SIDE = 64
ADAPTED = ("prompt_encoder.", "mask_decoder.")


def build(kind: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    if kind == "vit":
        return build_vit_sam(32, 2, 2, (1,), SIDE)
    return build_sam(TinyViT(dims=(8, 16, 24, 32), depths=(1, 1, 2, 1), heads=(1, 2, 3, 4)), SIDE)


BASES = {kind: build(kind) for kind in ("vit", "tiny_vit")}


def base(kind: str = "vit") -> nn.Module:
    return deepcopy(BASES[kind])


@pytest.fixture(params=["vit", "tiny_vit"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def images() -> Tensor:
    return torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def logits(sam: nn.Module) -> Tensor:
    """Masks `[1, 3, SIDE / 4, SIDE / 4]` without a prompt, as SFR asks for them."""
    sparse, dense = sam.prompt_encoder(points=None, boxes=None, masks=None)
    return sam.mask_decoder(
        image_embeddings=sam.image_encoder(images()),
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )[0]


def layers(sam: nn.Module) -> dict[str, LowRankQKV]:
    return {name: layer for name, layer in sam.named_modules() if isinstance(layer, LowRankQKV)}


def trained(kind: str = "vit", steps: int = 2, **settings: float) -> nn.Module:
    """A model after some training steps; A changes from the second one on."""
    sam = add_lora(base(kind), **settings).train()
    optimiser = torch.optim.AdamW([it for it in sam.parameters() if it.requires_grad], lr=1e-2, weight_decay=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        logits(sam).square().mean().backward()
        optimiser.step()
    return sam.eval()


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    sam = trained()
    file = tmp_path_factory.mktemp("adapter") / "adapter.pt"
    save_adapter(sam, file)
    return sam, file


def test_nothing_changes_at_the_start(kind: str) -> None:
    sam = base(kind)
    with torch.no_grad():
        before = logits(sam)
        after = logits(add_lora(sam))
    assert torch.equal(before, after)
    assert len(layers(sam)) == {"vit": 2, "tiny_vit": 4}[kind]


def test_effective_weight_worked_out_by_hand() -> None:
    linear = nn.Linear(2, 6)
    with torch.no_grad():
        linear.weight.copy_(torch.arange(12.0).view(6, 2))
        linear.bias.zero_()
    layer = LowRankQKV(linear, rank=1, alpha=2.0)
    with torch.no_grad():
        layer.lora_a.copy_(torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]))
        layer.lora_b.copy_(torch.tensor([[[1.0], [0.5]], [[-1.0], [1.0]]]))
    expected = [[0 + 2, 1 + 4], [2 + 1, 3 + 2], [4, 5], [6, 7], [8 - 6, 9 - 8], [10 + 6, 11 + 8]]
    assert layer.effective_weight().tolist() == expected
    assert layer(torch.tensor([1.0, 10.0])).tolist() == [row[0] + 10 * row[1] for row in expected]


def test_effective_weight_of_outputs_by_head() -> None:
    """Two heads with a row each of query, key and value: q, k, v, q, k, v."""
    layer = LowRankQKV(nn.Linear(2, 6), rank=1, alpha=1.0, heads=2)
    with torch.no_grad():
        layer.lora_a.copy_(torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]))
        layer.lora_b.copy_(torch.tensor([[[1.0], [10.0]], [[2.0], [20.0]]]))
        layer.weight.zero_()
    assert layer.effective_weight().tolist() == [[1, 2], [0, 0], [6, 8], [10, 20], [0, 0], [60, 80]]


def test_queries_and_values_change_and_keys_do_not(kind: str) -> None:
    """The rows of the weight are read as the attention reads them."""
    sam = trained(kind)
    for name, layer in layers(sam).items():
        before = BASES[kind].get_submodule(name).weight
        after = layer.effective_weight()
        if kind == "vit":  # [query, key, value]
            parts = [rows.unflatten(0, (3, -1)).unbind(0) for rows in (before, after)]
        else:  # for each head [query, key, value]
            heads = sam.get_submodule(name.removesuffix(".qkv")).heads
            parts = [rows.unflatten(0, (heads, 3, -1)).unbind(1) for rows in (before, after)]
        (query, key, value), (new_query, new_key, new_value) = parts
        assert torch.equal(key, new_key)
        assert not torch.isclose(query, new_query, rtol=0, atol=1e-8).all(dim=-1).any()
        assert not torch.isclose(value, new_value, rtol=0, atol=1e-8).all(dim=-1).any()


def test_keys_of_any_token_stay(kind: str) -> None:
    """Whatever B is, the attention computes the same keys as in the base."""
    sam = add_lora(base(kind))
    for name, layer in layers(sam).items():
        nn.init.normal_(layer.lora_b)
        x = torch.randn(5, layer.in_features)
        heads = layer.heads
        with torch.no_grad():
            new = layer(x).view(5, heads, 3, -1)
            old = BASES[kind].get_submodule(name)(x).view(5, heads, 3, -1)
        assert torch.equal(new[:, :, 1], old[:, :, 1])
        assert (new[:, :, ::2] != old[:, :, ::2]).all()


def test_frozen_base_stays_bit_by_bit(kind: str) -> None:
    """Batch statistics are part of the base, and stay in training mode, too."""
    before = BASES[kind].state_dict()
    after = trained(kind).state_dict()
    for name, value in before.items():
        if not name.startswith(ADAPTED):
            assert torch.equal(value, after[name]), name
    assert not torch.equal(before["prompt_encoder.no_mask_embed.weight"], after["prompt_encoder.no_mask_embed.weight"])
    assert not torch.equal(before["mask_decoder.mask_tokens.weight"], after["mask_decoder.mask_tokens.weight"])


def test_gradients_reach_what_is_trained(kind: str) -> None:
    sam = add_lora(base(kind).requires_grad_(False)).train()
    logits(sam).square().mean().backward()
    reached = {name for name, value in sam.named_parameters() if value.grad is not None}
    assert {name for name in reached if name.startswith("image_encoder.")} == {
        f"{name}.{part}" for name in layers(sam) for part in ("lora_a", "lora_b")
    }
    assert any(name.startswith("mask_decoder.") for name in reached)
    assert "prompt_encoder.no_mask_embed.weight" in reached
    for name, value in sam.named_parameters():
        assert value.requires_grad == (name.startswith(ADAPTED) or ".lora_" in name), name
    assert all(layer.lora_b.grad.abs().sum() > 0 for layer in layers(sam).values())


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("sam_vit_b", 12 * 2 * 4 * (768 + 768)),
        ("sam_vit_h", 32 * 2 * 4 * (1280 + 1280)),
        ("mobile_sam", 2 * 4 * (2 * (128 + 128) + 6 * (160 + 160) + 2 * (320 + 320))),
        ("lite_medsam", 2 * 4 * (2 * (128 + 128) + 6 * (160 + 160) + 2 * (320 + 320))),
    ],
)
def test_number_of_parameters(kind: str, count: int) -> None:
    with torch.device("meta"):
        sam = add_lora(KINDS[kind].build(), rank=4)
    numbers = {name: value.numel() for name, value in sam.named_parameters() if value.requires_grad}
    assert sum(number for name, number in numbers.items() if name.startswith("image_encoder.")) == count
    assert sum(numbers.values()) - count == 6_220 + 4_058_340  # prompt encoder and mask decoder


def test_merged_equals(kind: str) -> None:
    sam = trained(kind, alpha=8.0)
    copy = deepcopy(sam)
    with torch.no_grad():
        before = logits(sam)
        after = logits(merge_lora(sam))
        torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-6)
        assert torch.equal(logits(copy), before)  # a copy is a model of its own
        assert not torch.allclose(before, logits(base(kind)), atol=1e-3)
    assert list(sam.state_dict()) == list(BASES[kind].state_dict())
    assert [type(it) for it in sam.modules()] == [type(it) for it in BASES[kind].modules()]
    add_lora(sam)


def test_gradient_checkpointing(kind: str) -> None:
    sam = trained(kind, steps=1).train()
    sam.zero_grad()
    logits(sam).square().mean().backward()
    expected = {name: value.grad.clone() for name, value in sam.named_parameters() if value.grad is not None}
    sam.zero_grad()
    for block in sam.image_encoder.modules():
        if hasattr(block, "attn"):
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    logits(sam).square().mean().backward()
    for name, gradient in expected.items():
        torch.testing.assert_close(sam.get_parameter(name).grad, gradient, msg=name)


def test_autocast(kind: str) -> None:
    sam = trained(kind, steps=1).train()
    sam.zero_grad()
    exact = logits(sam)
    with torch.autocast("cpu", torch.bfloat16):
        half = logits(sam)
    half.float().square().mean().backward()
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, rtol=0, atol=0.05 * exact.abs().max().item())
    assert all(layer.lora_a.grad.isfinite().all() and layer.lora_a.grad.any() for layer in layers(sam).values())


def test_seed() -> None:
    first, same, other = (layers(add_lora(base(), seed=seed)) for seed in (0, 0, 1))
    state = torch.random.get_rng_state()
    name = "image_encoder.blocks.0.attn.qkv"
    assert torch.equal(first[name].lora_a, same[name].lora_a)
    assert not torch.equal(first[name].lora_a, other[name].lora_a)
    assert not torch.equal(first[name].lora_a, first["image_encoder.blocks.1.attn.qkv"].lora_a)
    add_lora(base())
    assert torch.equal(state, torch.random.get_rng_state())


def test_adapter_goes_onto_a_fresh_base(adapter: tuple[nn.Module, Path]) -> None:
    sam, file = adapter
    loaded = load_adapter(base(), file)
    for name, value in sam.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    with torch.no_grad():
        assert torch.equal(logits(sam), logits(loaded))
    assert [it.requires_grad for it in loaded.parameters()] == [it.requires_grad for it in sam.parameters()]


def test_adapter_goes_onto_a_prepared_base(adapter: tuple[nn.Module, Path]) -> None:
    sam, file = adapter
    loaded = load_adapter(add_lora(base(), seed=7), file)
    with torch.no_grad():
        assert torch.equal(logits(sam), logits(loaded))


def test_adapter_of_mobile_sam(tmp_path: Path) -> None:
    """It is saved after training in training mode, which must not have changed the base."""
    sam = trained("tiny_vit", rank=2, alpha=3.0)
    save_adapter(sam, tmp_path / "adapter.pt")
    loaded = load_adapter(base("tiny_vit"), tmp_path / "adapter.pt")
    assert {(layer.rank, layer.alpha) for layer in layers(loaded).values()} == {(2, 3.0)}
    with torch.no_grad():
        assert torch.equal(logits(sam), logits(loaded))


def test_adapter_is_small_and_plain(adapter: tuple[nn.Module, Path]) -> None:
    sam, file = adapter
    trainable = sum(it.numel() for it in sam.parameters() if it.requires_grad)
    assert 4 * trainable < file.stat().st_size < 4 * trainable + 100_000
    content = torch.load(file, weights_only=True)
    assert content["rank"] == 4 and not any("qkv.weight" in name for name in content["state"])
    assert [it.name for it in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(("kind", "seed"), [("vit", 1), ("tiny_vit", 0)])
def test_another_base_is_refused(adapter: tuple[nn.Module, Path], kind: str, seed: int) -> None:
    other = build(kind, seed)
    with pytest.raises(ValueError, match=r"adapter\.pt: this adapter belongs to another base: .*[0-9a-f]{8}, found"):
        load_adapter(other, adapter[1])
    assert not layers(other)


def test_another_rank_is_refused(adapter: tuple[nn.Module, Path]) -> None:
    with pytest.raises(ValueError, match="rank 4 and alpha 4, found rank 2 and alpha 2"):
        load_adapter(add_lora(base(), rank=2), adapter[1])


def test_damaged_file_is_refused(adapter: tuple[nn.Module, Path], tmp_path: Path) -> None:
    whole = adapter[1].read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    for damaged in (whole[: len(whole) // 2], bytes(flipped), b"", b"no adapter"):
        file = tmp_path / "damaged.pt"
        file.write_bytes(damaged)
        sam = base()
        with pytest.raises(ValueError, match=r"damaged\.pt: expected an adapter, found a file that is damaged"):
            load_adapter(sam, file)
        assert not layers(sam)


def test_file_of_another_kind_is_refused(adapter: tuple[nn.Module, Path], tmp_path: Path) -> None:
    content = torch.load(adapter[1], weights_only=True)
    file = tmp_path / "other.pt"
    incomplete = {name: value for name, value in content["state"].items() if name != "mask_decoder.mask_tokens.weight"}
    for other, message in (
        (BASES["vit"].state_dict(), "found SAM with a vision transformer of width 32"),
        ([1, 2], "found a list"),
        ({"a": 1}, "found something else"),
        ({**content, "version": 2}, "version 1 of the adapter's format, found 2"),
        (
            {**content, "state": incomplete, "checksum": state_digest(incomplete)},
            r"found 1 missing, .* \(first: mask_decoder.mask_tokens.weight\)",
        ),
    ):
        torch.save(other, file)
        with pytest.raises(ValueError, match=rf"other\.pt: expected .*{message}"):
            load_adapter(base(), file)
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        load_adapter(base(), tmp_path / "none.pt")


def test_models_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found one that has it"):
        add_lora(add_lora(base()))
    with pytest.raises(ValueError, match="found one without"):
        merge_lora(base())
    with pytest.raises(ValueError, match="found one without"):
        save_adapter(base(), tmp_path / "adapter.pt")
    with pytest.raises(ValueError, match=r"image encoder .*found torch\.nn\.modules\.container\.Sequential"):
        add_lora(build_sam(nn.Sequential(), SIDE))
    with pytest.raises(ValueError, match="found a Linear"):
        add_lora(nn.Linear(2, 2))


@pytest.mark.parametrize("rank", [0, 33, 2.5])
def test_rank_out_of_range(rank: float) -> None:
    with pytest.raises(ValueError, match=rf"rank must be a whole number from 1 to 32.* got {rank}"):
        add_lora(base(), rank=rank)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
def test_alpha_out_of_range(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha must be positive"):
        add_lora(base(), alpha=alpha)
