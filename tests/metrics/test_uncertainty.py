"""Uncertainty and reliability of small predictions, worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.transforms import AsDiscreted

from common.metrics import PredictionUncertainty
from common.metrics.uncertainty import mean_entropy, predicted_region, reliability


def two_classes(foreground: torch.Tensor) -> torch.Tensor:
    return torch.stack([1 - foreground, foreground])


def entropy(probability: float) -> float:
    """Of two classes, as a share of its largest value."""
    return -(probability * math.log2(probability) + (1 - probability) * math.log2(1 - probability))


def test_the_region_is_the_object_and_two_voxels_around_it() -> None:
    foreground = torch.zeros(9, 9, 9)
    foreground[4, 4, 4] = 0.9
    region = predicted_region(two_classes(foreground))
    expected = torch.zeros(9, 9, 9, dtype=torch.bool)
    expected[2:7, 2:7, 2:7] = True
    assert torch.equal(region, expected)
    assert not predicted_region(two_classes(torch.full((9, 9, 9), 0.4))).any()


def test_the_mean_entropy_counts_the_region_alone() -> None:
    foreground = torch.full((2, 2, 2), 0.5)
    foreground[0, 0, 0], foreground[0, 0, 1] = 0.9, 0.75
    region = torch.zeros(2, 2, 2, dtype=torch.bool)
    region[0, 0] = True
    found = mean_entropy(two_classes(foreground), region)
    assert found == pytest.approx((entropy(0.9) + entropy(0.75)) / 2, abs=1e-6)
    assert math.isnan(mean_entropy(two_classes(foreground), ~torch.ones_like(region)))


def test_reliability_by_hand() -> None:
    """Confidences 0.52 and 0.54 (range 0), 0.68 (range 3), 1 (range 9); one voxel is not labelled, one not counted."""
    foreground = torch.tensor([0.52, 0.46, 0.68, 0.0, 0.99, 0.99]).view(6, 1, 1)
    label = torch.tensor([1, 1, 0, 0, 255, 1]).view(6, 1, 1)
    region = torch.tensor([1, 1, 1, 1, 1, 0]).bool().view(6, 1, 1)
    voxels, confidence, right = reliability(two_classes(foreground), label, region).tolist()
    assert voxels == [2, 0, 0, 1, 0, 0, 0, 0, 0, 1]
    assert (confidence[0], confidence[3], confidence[9]) == pytest.approx((1.06, 0.68, 1.0))
    assert right == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]


class Echo(torch.nn.Module):
    """Predicts the probability that the image spells out."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([1 - image, image], dim=1)


def evaluate(scans: list[dict], handler: PredictionUncertainty) -> dict:
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(scans), batch_size=1),
        network=Echo(),
        postprocessing=AsDiscreted(keys="pred", argmax=True),
        val_handlers=[handler],
    ).run()
    return json.loads((handler.output_dir / "uncertainty.json").read_text())


def scan(name: str, foreground: np.ndarray, label: np.ndarray | None = None) -> dict:
    meta = {"filename_or_obj": f"/data/{name}.nii.gz"}
    item = {"image": MetaTensor(torch.tensor(foreground)[None].float(), affine=np.eye(4), meta=meta)}
    return item if label is None else item | {"label": torch.tensor(label)[None]}


def test_a_monai_evaluator_before_its_postprocessing(tmp_path: Path) -> None:
    sure = np.zeros((5, 5, 5))
    sure[2, 2, 2] = 1
    doubtful = np.where(sure == 1, 0.75, 0)
    label = sure.astype(np.uint8)
    written = evaluate(
        [scan("b", doubtful, label), scan("a", sure, label), scan("c", 0 * sure, label)],
        PredictionUncertainty(tmp_path),
    )
    assert written["scans"] == pytest.approx({"a": 0, "b": entropy(0.75) / 125, "c": None}, abs=1e-6)
    assert [row["voxels"] for row in written["reliability"]] == [1, 249]
    assert [row["confidence"] for row in written["reliability"]] == pytest.approx([0.75, 1])
    assert [row["accuracy"] for row in written["reliability"]] == [1, 1]


def test_no_label_is_needed(tmp_path: Path) -> None:
    written = evaluate([scan("a", np.full((3, 3, 3), 0.9))], PredictionUncertainty(tmp_path))
    assert written["scans"] == pytest.approx({"a": entropy(0.9)}, abs=1e-6)
    assert written["reliability"] == []


def test_a_second_run_forgets_the_first(tmp_path: Path) -> None:
    handler = PredictionUncertainty(tmp_path)
    evaluate([scan("a", np.full((3, 3, 3), 0.9))], handler)
    assert list(evaluate([scan("b", np.full((3, 3, 3), 0.9))], handler)["scans"]) == ["b"]
