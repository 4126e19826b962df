"""Low-rank adaptation (LoRA) of SAM, and adapters: small files of what was trained on top of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.files import read_checkpoint, replacing
from common.generalists.sam.models import recognise, state_digest
from common.generalists.sam.tiny_vit import TinyViT

FORMAT = "sam-lora-adapter"
VERSION = 1


class LowRankQKV(nn.Linear):
    """A fused layer of queries, keys and values with a low-rank update of the queries and values alone.

    The layer's weight W acts as W + alpha / rank * B A (Hu et al., ICLR 2022, section 4.1). At first A is random and B
    is zero, so nothing changes until B is trained. The update is applied to the tokens, not to W, so that no gradient
    as large as W is computed and low precision does not round small updates away. The state dict has the base layer's
    names, `lora_a` `[2, rank, in]` and `lora_b` `[2, out / 3, rank]`, both for queries first, then values.

    Args:
        base: Layer whose parameters are taken over.
        rank: Rank of the update.
        alpha: The update is scaled by alpha / rank.
        heads: Number of heads if the layer's outputs are grouped by head; 1 if all queries come before all keys.
        generator: Random generator on the CPU that draws A.
    """

    def __init__(
        self, base: nn.Linear, rank: int, alpha: float, heads: int = 1, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(base.in_features, base.out_features, bias=base.bias is not None, device="meta")
        self.weight, self.bias = base.weight, base.bias
        self.rank, self.alpha, self.heads = rank, alpha, heads
        limit = base.in_features**-0.5
        values = torch.empty(2, rank, base.in_features, device="cpu").uniform_(-limit, limit, generator=generator)
        self.lora_a = nn.Parameter(values.to(base.weight))
        self.lora_b = nn.Parameter(base.weight.new_zeros(2, base.out_features // 3, rank))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + F.linear(F.linear(x, self.lora_a.flatten(0, 1)), self._rows())

    def effective_weight(self) -> Tensor:
        """The weight that the layer acts as, W + alpha / rank * B A: `[out, in]`."""
        return self.weight + self._rows() @ self.lora_a.flatten(0, 1)

    def _rows(self) -> Tensor:
        """The scaled B as `[out, 2 * rank]`: in the rows of queries and values, with zeros elsewhere."""
        rows = self.lora_b.new_zeros(self.heads, 3, self.out_features // 3 // self.heads, 2, self.rank)
        queries, values = (self.alpha / self.rank * self.lora_b).unflatten(1, (self.heads, -1))
        rows[:, 0, :, 0] = queries
        rows[:, 2, :, 1] = values
        return rows.view(self.out_features, 2 * self.rank)


class _FixedBatchNorm(nn.BatchNorm2d):
    """A batch norm that keeps its statistics during training, too."""

    def train(self, mode: bool = True) -> _FixedBatchNorm:
        return super().train(False)


def add_lora(sam: nn.Module, rank: int = 4, *, alpha: float | None = None, seed: int = 0) -> nn.Module:
    """Prepares a SAM for fine-tuning by LoRA as in SFR (IEEE TMI 2025), in place.

    The image encoder is frozen, batch statistics included; the queries and values of each of its attention layers get
    a low-rank update (`LowRankQKV`). These updates, the prompt encoder and the mask decoder are trainable, as the
    `requires_grad` of their parameters says. Outputs stay exactly the same until the first step. If blocks use gradient
    checkpointing, it must be the non-reentrant kind, since the image itself needs no gradient.

    Args:
        sam: SAM of any size, MedSAM, MobileSAM (`load_sam`), or one by `build_vit_sam`.
        rank: Rank of the updates.
        alpha: The updates are scaled by alpha / rank; by default alpha is the rank and the scale 1.
        seed: Seed of the random factor A.

    Returns:
        The model given.

    Raises:
        ValueError: If the image encoder is unknown or has updates already, or the rank or alpha is out of range.
    """
    layers = _fused_layers(sam)
    if any(isinstance(layer, LowRankQKV) for layer, _ in layers.values()):
        raise ValueError("sam: expected a model without LoRA, found one that has it; `merge_lora` folds it in")
    largest = min(layer.in_features for layer, _ in layers.values())
    if not isinstance(rank, int) or not 1 <= rank <= largest:
        raise ValueError(
            f"rank must be a whole number from 1 to {largest}, the width of the narrowest attention, got {rank}"
        )
    alpha = float(rank if alpha is None else alpha)
    if not 0 < alpha < float("inf"):
        raise ValueError(f"alpha must be positive and finite, got {alpha}")
    encoder, prompt_encoder, mask_decoder = _parts(sam)
    encoder.requires_grad_(False)
    prompt_encoder.requires_grad_(True)
    mask_decoder.requires_grad_(True)
    generator = torch.Generator("cpu").manual_seed(seed)
    for name, (layer, heads) in layers.items():
        encoder.set_submodule(name, LowRankQKV(layer, rank, alpha, heads, generator).train(layer.training))
    for norm in encoder.modules():
        if type(norm) is nn.BatchNorm2d:
            norm.__class__ = _FixedBatchNorm
            norm.eval()
    return sam


@torch.no_grad()
def merge_lora(sam: nn.Module) -> nn.Module:
    """Folds the updates of `add_lora` into the weights, in place: same outputs, at the speed of the base model.

    Returns:
        The model given, with the base model's modules and state dict names; the image encoder stays frozen.

    Raises:
        ValueError: If it has no updates.
    """
    encoder = _parts(sam)[0]
    for name, layer in _low_rank_layers(sam).items():
        merged = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        merged.weight = nn.Parameter(layer.effective_weight(), requires_grad=False)
        merged.bias = layer.bias
        encoder.set_submodule(name, merged.train(layer.training))
    for norm in encoder.modules():
        if type(norm) is _FixedBatchNorm:
            norm.__class__ = nn.BatchNorm2d  # type: ignore[assignment]
    return sam


def save_adapter(sam: nn.Module, path: str | Path) -> None:
    """Writes an adapter: what `add_lora` made trainable, and which base model it belongs to, atomically.

    The file has about 17 MB, most of it the mask decoder. It holds plain tensors, so that loading it runs no code.

    Args:
        sam: Model with updates.
        path: File to write.

    Raises:
        ValueError: If `sam` has no updates.
    """
    layer = next(iter(_low_rank_layers(sam).values()))
    state = {name: value.cpu() for name, value in sam.state_dict().items() if _is_adapted(name)}
    content = {
        "format": FORMAT,
        "version": VERSION,
        "base": _fingerprint(sam),
        "rank": layer.rank,
        "alpha": layer.alpha,
        "state": state,
        "checksum": state_digest(state),
    }
    with replacing(path) as temporary:
        torch.save(content, temporary)


def load_adapter(sam: nn.Module, path: str | Path) -> nn.Module:
    """Puts an adapter onto the base model that it was trained on, in place.

    Args:
        sam: Base model, either without updates (`add_lora` is then called) or with updates of the same rank and alpha.
        path: File written by `save_adapter`.

    Returns:
        The model given, which is unchanged if an error is raised.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or not an adapter, or the base model, rank or alpha differ.
    """
    content = _read_adapter(Path(path))
    rank, alpha, state = content["rank"], content["alpha"], content["state"]
    found = _fingerprint(sam)
    if content["base"] != found:
        raise ValueError(
            f"{path}: this adapter belongs to another base: expected an image encoder with the fingerprint "
            f"{content['base'][:8]}, found {found[:8]}; load the checkpoint that the adapter was trained on"
        )
    layers = {name: layer for name, (layer, _) in _fused_layers(sam).items()}
    present = {(layer.rank, layer.alpha) for layer in layers.values() if isinstance(layer, LowRankQKV)}
    if present - {(rank, alpha)}:
        raise ValueError(
            f"{path}: expected a model without LoRA or with rank {rank} and alpha {alpha:g}, "
            "found " + ", ".join(f"rank {other} and alpha {scale:g}" for other, scale in present)
        )
    expected = {name: value.shape for name, value in sam.state_dict().items() if _is_adapted(name)}
    for name, layer in layers.items():
        expected[f"image_encoder.{name}.lora_a"] = torch.Size((2, rank, layer.in_features))
        expected[f"image_encoder.{name}.lora_b"] = torch.Size((2, layer.out_features // 3, rank))
    shapes = {name: value.shape for name, value in state.items()}
    if shapes != expected:
        wrong = sorted(name for name in shapes.keys() | expected.keys() if shapes.get(name) != expected.get(name))
        raise ValueError(
            f"{path}: expected the tensors of this model's updates, prompt encoder and mask decoder, "
            f"found {len(wrong)} missing, unknown or of another shape (first: {wrong[0]})"
        )
    if not present:
        add_lora(sam, rank, alpha=alpha)
    sam.load_state_dict(state, strict=False)
    return sam


def _read_adapter(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such adapter; expected a file by save_adapter")
    content = read_checkpoint(path, expected="an adapter", found="a file that is damaged or of another kind")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = recognise(content) if isinstance(content, dict) else f"a {type(content).__name__}"
        raise ValueError(f"{path}: expected an adapter by save_adapter, found {found or 'something else'}")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path}: expected version {VERSION} of the adapter's format, found {content.get('version')}; "
            "it was written by another version of this package"
        )
    if content["checksum"] != state_digest(content["state"]):
        raise ValueError(f"{path}: expected an adapter, found a file that is damaged (its checksum differs)")
    return content


def _is_adapted(name: str) -> bool:
    """Whether a tensor of the state dict is trained, and so part of an adapter."""
    return name.startswith(("prompt_encoder.", "mask_decoder.")) or name.endswith((".lora_a", ".lora_b"))


def _fingerprint(sam: nn.Module) -> str:
    """A digest of the frozen weights."""
    return state_digest({name: value for name, value in sam.state_dict().items() if not _is_adapted(name)})


def _parts(sam: nn.Module) -> tuple[nn.Module, nn.Module, nn.Module]:
    """A SAM's image encoder, prompt encoder and mask decoder."""
    parts = [getattr(sam, name, None) for name in ("image_encoder", "prompt_encoder", "mask_decoder")]
    encoder, prompt_encoder, mask_decoder = parts
    if not (
        isinstance(encoder, nn.Module) and isinstance(prompt_encoder, nn.Module) and isinstance(mask_decoder, nn.Module)
    ):
        raise ValueError(
            f"sam: expected a model with image_encoder, prompt_encoder and mask_decoder, found a {type(sam).__name__}"
        )
    return encoder, prompt_encoder, mask_decoder


def _fused_layers(sam: nn.Module) -> dict[str, tuple[nn.Linear, int]]:
    """Each `qkv` layer of the image encoder by name, and the number of heads that its outputs are grouped by."""
    encoder = _parts(sam)[0]
    by_head = isinstance(encoder, TinyViT)
    if not by_head and not any(kind.__name__ == "ImageEncoderViT" for kind in type(encoder).__mro__):
        kind = type(encoder)
        raise ValueError(
            "sam: expected an image encoder whose attention is known: segment_anything's ImageEncoderViT or "
            f"{TinyViT.__module__}.TinyViT, found {kind.__module__}.{kind.__qualname__}"
        )
    layers = {
        f"{name}.qkv": (module.qkv, int(module.heads) if by_head else 1)
        for name, module in encoder.named_modules()
        if isinstance(getattr(module, "qkv", None), nn.Linear)
    }
    if not layers:
        raise ValueError("sam: expected attention layers with a linear `qkv` in the image encoder, found none")
    return layers


def _low_rank_layers(sam: nn.Module) -> dict[str, LowRankQKV]:
    found = {name: layer for name, (layer, _) in _fused_layers(sam).items() if isinstance(layer, LowRankQKV)}
    if not found:
        raise ValueError("sam: expected a model with LoRA (`add_lora`), found one without")
    return found
