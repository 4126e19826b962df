"""Made-up cohorts to plan for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from common.files import read_json, write_json
from common.plan import Fingerprint, Machine, Recipe
from tests.bundles.workflows import ROOT
from tests.samples import save

BUNDLES = ("fmabs_la", "fmabs_brats", "sfr_retrain", "sfr_stitch_finetune", "assft_adapt")
CPU = Machine("cpu", 16 * 10**9, 16 * 10**9)
GPU = Machine("cuda", 24 * 10**9, 64 * 10**9)

ATRIA = Fingerprint(
    classes={1: "left atrium"},
    channels=1,
    training=80,
    validation=0,
    test=0,
    labelled=80,
    spacings=((0.625, 0.625, 0.625),) * 3,
    sizes=((183.0, 140.0, 88.0),) * 3,
    read=80,
    sparse=0,
    modality="mr",
    modality_reason="made up",
    window=(-1.0, 3.0, 1.0, 0.5),
    background=0.0,
    empty_is_zero=False,
    volumes_mm3={1: 60_000.0},
    directed=(),
    image_bytes=80 * 183 * 140 * 88 * 4,
)
"""Something like the left-atrium benchmark."""


def fingerprint(**changes: Any) -> Fingerprint:
    """The atria, changed."""
    return replace(ATRIA, **changes)


def recipe(bundle: str = "fmabs_la") -> Recipe:
    """A bundle as it is."""
    return Recipe(bundle, read_json(ROOT / "bundles" / bundle / "configs" / "train.json"))


def write_cohort(
    folder: Path,
    scans: list[tuple[np.ndarray, np.ndarray | None]],
    *,
    affine: np.ndarray | None = None,
    labels: dict[str, str] | None = None,
    **datalist: Any,
) -> Path:
    """Writes images and labels as training scans."""
    items = []
    for number, (image, label) in enumerate(scans):
        item = {"image": f"images/scan_{number}.nii.gz"}
        save(folder / item["image"], image, affine)
        if label is not None:
            item["label"] = f"labels/scan_{number}.nii.gz"
            save(folder / item["label"], label, affine)
        items.append(item)
    content = {"name": "made up", "labels": labels or {"1": "front", "2": "back"}, "training": items, "validation": []}
    write_json(folder / "datalist.json", content | datalist)
    return folder
