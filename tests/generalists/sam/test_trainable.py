from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from common.generalists.sam import StitchedSam, announce_sam, image_size_of, trainable_sam
from common.generalists.sam.lora import LowRankQKV
from common.generalists.sam.models import KINDS, SamKind, build_sam
from common.generalists.sam.tiny_vit import TinyViT
from common.generalists.sam.usage import LITE_MEDSAM
from tests.bundles.workflows import ROOT, workflow


def tiny() -> nn.Module:
    """LiteMedSAM with a narrow encoder, for images of 64 pixels."""
    encoder = TinyViT(
        dims=(8, 16, 24, 32), depths=(1, 1, 2, 1), heads=(1, 2, 3, 4), windows=(4, 4, 8, 4), patch=1, classes=0
    )
    return build_sam(encoder, 64, token=4)


@pytest.mark.parametrize(("kind", "words"), [("small", "trained from random weights"), ("lite_medsam", "")])
def test_random_weights_are_announced_where_they_are_trained(kind: str, words: str, caplog) -> None:
    for config, announced in (("train", True), ("inference", False)):
        content = json.loads((ROOT / f"bundles/sfr_stitch_finetune/configs/{config}.json").read_text())
        assert ("$@common.sam.announce_sam(@sam)" in content["initialize"]) == announced
    announce_sam(kind)
    assert words in caplog.text and bool(caplog.text) == bool(words)


@pytest.mark.parametrize(("kind", "size"), [("small", 1024), ("sam_vit_b", 1024), ("lite_medsam", 256)])
def test_image_size_follows_from_the_kind(kind: str, size: int) -> None:
    assert image_size_of(kind) == size


@pytest.mark.parametrize("config", ["train", "pseudo_label", "inference"])
def test_the_bundles_image_size_follows_from_its_sam(config: str, tmp_path: Path) -> None:
    of_its_model = 288
    usual = of_its_model if config == "inference" else 1024
    for changes, size in (({}, usual), ({"sam": "lite_medsam"}, 256), ({"image_size": 128}, 128)):
        flow = workflow("sfr_stitch_finetune", config, {"output_dir": str(tmp_path)} | changes)
        flow.parser.parse()
        assert flow.parser.get_parsed_content("image_size") == size


@pytest.mark.parametrize(("kind", "size", "fitting"), [("lite_medsam", 1024, 256), ("sam_vit_b", 256, 1024)])
def test_another_image_size_is_refused(kind: str, size: int, fitting: int) -> None:
    with pytest.raises(ValueError, match=f"image_size of {kind} must be {fitting}, got {size}"):
        trainable_sam(kind, image_size=size)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sam must be one of small, mobile_sam, .*, lite_medsam, got 'sam'"):
        trainable_sam("sam")


def test_lite_medsam_learns_a_stitched_volume_by_lora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing changes but the updates, the prompt encoder and the mask decoder."""
    torch.manual_seed(0)
    monkeypatch.setitem(KINDS, "lite_medsam", SamKind(tiny, LITE_MEDSAM, 64))
    torch.save(tiny().state_dict(), tmp_path / "tiny.pth")
    sam = trainable_sam("lite_medsam", checkpoint=tmp_path / "tiny.pth")
    network = StitchedSam(sam, augment=False).train()
    layers = [layer for layer in sam.modules() if isinstance(layer, LowRankQKV)]
    assert [layer.heads for layer in layers] == [2, 3, 3, 4]
    before = {name: value.clone() for name, value in sam.state_dict().items()}
    volume = torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    target = torch.ones_like(volume[:, 0], dtype=torch.long)
    optimiser = torch.optim.AdamW([it for it in sam.parameters() if it.requires_grad], lr=1e-3)
    losses = []
    for _ in range(3):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(volume), target)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[2] < losses[0]
    changed = {name for name, value in sam.state_dict().items() if not torch.equal(value, before[name])}
    assert all(name.startswith(("prompt_encoder.", "mask_decoder.")) or ".lora_" in name for name in changed)
    assert sum(".lora_b" in name for name in changed) == len(layers)
