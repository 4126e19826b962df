"""Padding before patches are cut: where patches can lie, and that nothing changes without it."""

import json

import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, RandSpatialCropd, SpatialPadd

from tests.bundles.workflows import ROOT

KEYS = ("image", "annotation", "pseudo_label")
CUTTING = ("BorderPadd", "SpatialPadd", "RandSpatialCropd")
BUNDLES = ("fmabs_la", "fmabs_brats", "sfr_retrain", "assft_adapt")
ROI = [8, 8, 4]


def cutting(bundle, margin):
    """The bundle's own transforms that cut a patch."""
    config = json.loads((ROOT / "bundles" / bundle / "configs" / "train.json").read_text())
    steps = [step for step in config["train"]["random_transforms"] if step["_target_"] in CUTTING]
    parser = ConfigParser({"roi_size": ROI, "margin": margin, "steps": steps})
    return Compose(parser.get_parsed_content("steps"))


def item():
    """A scan whose voxels have numbers of their own, from 1 on, all annotated."""
    image = 1 + torch.arange(10 * 8 * 3, dtype=torch.float32).reshape(1, 10, 8, 3)
    label = torch.ones(1, 10, 8, 3, dtype=torch.uint8)
    return {"image": image, "annotation": label, "pseudo_label": 2 * label}


@pytest.mark.parametrize("bundle", BUNDLES)
def test_without_a_margin_patches_are_as_before(bundle):
    before = Compose(
        [
            SpatialPadd("image", ROI),
            SpatialPadd(["annotation", "pseudo_label"], ROI, value=255),
            RandSpatialCropd(KEYS, ROI, random_size=False),
        ]
    )
    now = cutting(bundle, [0, 0, 0])
    for seed in range(5):
        found, expected = (steps.set_random_state(seed)(item()) for steps in (now, before))
        assert all(torch.equal(found[key], expected[key]) for key in KEYS)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_with_a_margin_a_patch_lies_anywhere_within_it_and_padding_is_not_annotated(bundle):
    steps, places = cutting(bundle, [3, 2, 2]), set()
    for seed in range(150):
        found = steps.set_random_state(seed)(item())
        assert all(found[key].shape == (1, *ROI) for key in KEYS)
        inside = found["image"] > 0
        assert torch.equal(found["annotation"] == 1, inside) and torch.equal(found["annotation"] == 255, ~inside)
        assert torch.equal(found["pseudo_label"] == 2, inside) and torch.equal(found["pseudo_label"] == 255, ~inside)
        first = inside.nonzero()[0][1:]
        number = int(found["image"][0][tuple(first)]) - 1
        voxel = torch.tensor([number // 24, number // 3 % 8, number % 3])
        places.add(tuple((voxel - first).tolist()))
    # 10 + 6 - 8 + 1, 8 + 4 - 8 + 1 and 3 + 4 - 4 + 1 places, from minus the margin on.
    assert [set(axis) for axis in zip(*places, strict=True)] == [
        set(range(-3, 6)),
        set(range(-2, 3)),
        set(range(-2, 2)),
    ]
