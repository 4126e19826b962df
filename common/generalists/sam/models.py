"""The models of the SAM family: how each is built, used, and loaded from a checkpoint."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from common import weights
from common.checks import check_one_of
from common.files import digest, read_checkpoint
from common.generalists.sam.tiny_vit import TinyViT
from common.generalists.sam.usage import LITE_MEDSAM, MEDSAM, SAM, Usage
from common.networks.model_files import without_wrapper


@dataclass(frozen=True)
class SamKind:
    """A kind of SAM, with published weights.

    Attributes:
        build: Function that makes the model with random weights.
        usage: How the model expects to be used.
        image_size: Side of its square input in pixels.
    """

    build: Callable[[], nn.Module]
    usage: Usage = SAM
    image_size: int = 1024


def build_sam(image_encoder: nn.Module, image_size: int = 1024, *, token: int = 16) -> nn.Module:
    """Builds a SAM with random weights around an image encoder (Kirillov et al., ICCV 2023).

    Args:
        image_encoder: Network from `[B, 3, S, S]` to `[B, 256, S / token, S / token]`, where S is `image_size`.
        image_size: Side of the square input in pixels.
        token: Side of the square that a pixel of the embedding stands for, in pixels.

    Returns:
        A `segment_anything.modeling.Sam` in evaluation mode.
    """
    modeling = _modeling()
    side = image_size // token
    sam: nn.Module = modeling.Sam(
        image_encoder=image_encoder,
        prompt_encoder=modeling.PromptEncoder(
            embed_dim=256,
            image_embedding_size=(side, side),
            input_image_size=(image_size, image_size),
            mask_in_chans=16,
        ),
        mask_decoder=_mask_decoder(3),
    )
    return sam.eval()


def with_masks(sam: nn.Module, number: int) -> nn.Module:
    """Gives a SAM's decoder at least `number` masks besides the single one, keeping the weights that it has."""
    former: Any = sam.mask_decoder
    if number <= former.num_mask_tokens - 1:
        return sam
    decoder = _mask_decoder(number).to(former.iou_token.weight)
    known = former.state_dict()
    for name, value in decoder.state_dict().items():
        if name in known:
            value[: len(known[name])] = known[name]
    sam.mask_decoder = decoder
    return sam


def _mask_decoder(masks: int) -> nn.Module:
    modeling = _modeling()
    decoder: nn.Module = modeling.MaskDecoder(
        num_multimask_outputs=masks,
        transformer=modeling.TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
        transformer_dim=256,
        iou_head_depth=3,
        iou_head_hidden_dim=256,
    )
    return decoder


def build_vit_sam(
    width: int, depth: int, heads: int, global_blocks: Sequence[int], image_size: int = 1024, window: int = 14
) -> nn.Module:
    """Builds a SAM whose image encoder is a plain vision transformer.

    Args:
        width: Channels of the tokens.
        depth: Number of blocks.
        heads: Number of attention heads.
        global_blocks: Indices of the blocks that attend to the whole image, not only within windows.
        image_size: Side of the square input in pixels.
        window: Side of an attention window in patches of 16 pixels.
    """
    encoder = _modeling().ImageEncoderViT(
        img_size=image_size,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=window,
        global_attn_indexes=tuple(global_blocks),
        out_chans=256,
    )
    return build_sam(encoder, image_size)


def small_sam(image_size: int) -> nn.Module:
    """Builds a SAM of 6 blocks of width 192, for training from scratch when there are no weights."""
    return build_vit_sam(192, 6, 6, (2, 5), image_size)


_VIT_B = partial(build_vit_sam, 768, 12, 12, (2, 5, 8, 11))

KINDS: dict[str, SamKind] = {
    "mobile_sam": SamKind(lambda: build_sam(TinyViT())),
    "sam_vit_b": SamKind(_VIT_B),
    "sam_vit_l": SamKind(partial(build_vit_sam, 1024, 24, 16, (5, 11, 17, 23))),
    "sam_vit_h": SamKind(partial(build_vit_sam, 1280, 32, 16, (7, 15, 23, 31))),
    "medsam": SamKind(_VIT_B, MEDSAM),
    "lite_medsam": SamKind(lambda: build_sam(TinyViT(patch=1, classes=0), 256, token=4), LITE_MEDSAM, 256),
}
"""The kinds by name.

MedSAM (Ma et al., Nature Communications 2024) is a ViT-B that is used in another way. LiteMedSAM, by the same authors,
has MobileSAM's encoder but for the tokens, which are single pixels of an image of 256 x 256.
"""


def load_sam(kind: str, checkpoint: str | Path | None = None) -> nn.Module:
    """Loads a model from a checkpoint: frozen, in evaluation mode, on the CPU.

    Args:
        kind: One of `KINDS`.
        checkpoint: File of a state dict; by default the one that `python -m common weights fetch KIND` downloads.

    Raises:
        FileNotFoundError: If there is no such file; the message says how to get it.
        ValueError: If the kind is unknown, or the file holds other weights; the message says what they look like.
    """
    check_one_of("kind", kind, KINDS)
    file = weights.find(kind) if checkpoint is None else Path(checkpoint)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such checkpoint; `python -m common weights fetch {kind}` downloads one")
    state = _read(file)
    found = recognise(state)
    sam = KINDS[kind].build()
    expected = {name: tuple(value.shape) for name, value in sam.state_dict().items()}
    shapes = {name: tuple(value.shape) for name, value in state.items() if isinstance(value, torch.Tensor)}
    if shapes != expected:
        raise ValueError(
            f"{file}: expected the weights of {kind}, found what looks like {found or 'none of the known kinds'}: "
            + _difference(expected, shapes)
        )
    sam.load_state_dict(state)
    return sam.eval().requires_grad_(False)


def recognise(state: dict[str, Any]) -> str | None:
    """Names what a state dict looks like by its keys and shapes; None if it is none of the known kinds."""
    position = state.get("image_encoder.pos_embed")
    if isinstance(position, torch.Tensor):
        known = {768: "sam_vit_b (or medsam)", 1024: "sam_vit_l", 1280: "sam_vit_h"}
        return known.get(position.shape[-1], f"SAM with a vision transformer of width {position.shape[-1]}")
    patches = state.get("image_encoder.patch_embed.seq.0.c.weight")
    if isinstance(patches, torch.Tensor):
        return "lite_medsam" if patches.shape[-1] == 1 else "mobile_sam"
    if "down.0.0.weight" in state and "head.weight" in state:
        return "the embedded generalist"
    return None


def state_digest(state: dict[str, torch.Tensor]) -> str:
    """A digest of a state dict's names and tensors."""
    return digest(*(part for name in sorted(state) for part in (name, state[name])))


def _read(file: Path) -> dict[str, Any]:
    state = read_checkpoint(file, expected="a checkpoint of plain tensors", found="one that does not load")
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]
    if not isinstance(state, dict):
        raise ValueError(f"{file}: expected a state dict, found a {type(state).__name__}")
    return without_wrapper(state)


def _difference(expected: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> str:
    missing = [name for name in expected if name not in found]
    surplus = [name for name in found if name not in expected]
    other = [name for name in expected if name in found and found[name] != expected[name]]
    parts = []
    for names, what in ((missing, "missing"), (surplus, "unknown"), (other, "of another shape")):
        if names:
            parts.append(f"{len(names)} tensors are {what} ({names[0]}{', …' if len(names) > 1 else ''})")
    return "; ".join(parts)


def _modeling() -> ModuleType:
    """Imports `segment_anything.modeling` without the package's `__init__`, which needs torchvision."""
    if "segment_anything" in sys.modules:
        return importlib.import_module("segment_anything.modeling")
    found = importlib.util.find_spec("segment_anything")
    if found is None or found.submodule_search_locations is None:
        raise ImportError("the SAM family needs the package segment-anything: `pip install segment-anything`")
    package = ModuleType("segment_anything")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["segment_anything"] = package
    try:
        return importlib.import_module("segment_anything.modeling")
    finally:
        del sys.modules["segment_anything"]
