"""Small cohorts to break."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.samples import save


@pytest.fixture
def make_cohort(tmp_path: Path) -> Callable[..., Path]:
    """Writes a healthy cohort of labelled scans and returns its folder."""

    def make(scans: int = 3, labels: dict[str, str] | None = None) -> Path:
        rng = np.random.default_rng(0)
        items = []
        for number in range(scans):
            label = np.zeros((6, 7, 8), np.uint8)
            label[2:4, 2:5, 3:6] = 1
            save(tmp_path / f"images/scan_{number}.nii.gz", rng.normal(size=label.shape).astype(np.float32))
            save(tmp_path / f"labels/scan_{number}.nii.gz", label)
            items.append({"image": f"images/scan_{number}.nii.gz", "label": f"labels/scan_{number}.nii.gz"})
        content = {"name": "test", "labels": labels or {"1": "blob"}, "training": items, "validation": [], "test": []}
        (tmp_path / "datalist.json").write_text(json.dumps(content))
        return tmp_path

    return make
