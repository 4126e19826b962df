import math

import pytest
import torch

from common.pseudo_labels import nearest_distance, region_confidence, select_reliable


def test_selection_by_hand():
    confidence = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6, "e": 0.5}
    distance = {"a": 0.5, "b": 0.1, "c": 0.3, "d": 0.0, "e": 0.4}
    # medians 0.7 and 0.3
    assert select_reliable(confidence, distance) == ["b", "c"]
    assert select_reliable(confidence, distance, confidence_quantile=0) == ["b", "c", "d"]
    assert select_reliable(confidence, distance, distance_quantile=1) == ["a", "b", "c"]
    assert select_reliable(confidence, distance, confidence_quantile=0, distance_quantile=1) == list("abcde")
    assert select_reliable(confidence, distance, confidence_quantile=1, distance_quantile=0) == []
    assert select_reliable(dict(reversed(confidence.items())), distance) == ["b", "c"]
    assert select_reliable({}, {}) == []


def test_scans_of_which_nothing_is_predicted_are_never_selected():
    distance = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.25}
    # The median confidence is 0, that of the distances 0.225.
    confidence = {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.9}
    assert select_reliable(confidence, distance) == []
    assert select_reliable(confidence, distance, distance_quantile=0.75) == ["d"]
    assert select_reliable(confidence, distance, confidence_quantile=0, distance_quantile=1) == ["d"]
    assert select_reliable(dict.fromkeys("abcd", 0.0), distance, confidence_quantile=0, distance_quantile=1) == []


def test_identical_scans_are_all_selected():
    same = dict.fromkeys("ba", 0.1)
    assert select_reliable(same, same) == ["a", "b"]
    assert select_reliable(same, same, confidence_quantile=1, distance_quantile=0) == ["a", "b"]


def test_nearest_distance_by_hand():
    features = {"a": torch.tensor([1.0, 0]), "b": torch.tensor([3.0, 4]), "c": torch.tensor([-1.0, 0])}
    labelled = [torch.tensor([2.0, 0]), torch.tensor([0.0, 1])]
    assert nearest_distance(features, labelled) == pytest.approx({"a": 0, "b": 0.2, "c": 1}, abs=1e-6)


def test_region_confidence_by_hand():
    p = torch.zeros(1, 1, 8)
    p[..., 2:4] = torch.tensor([0.9, 0.6])
    p[..., 6] = 0.1
    given = torch.stack([1 - p, p])
    assert region_confidence(given, dilation=0) == pytest.approx(0.75)
    assert region_confidence(given, dilation=1) == pytest.approx((0.9 + 0.6 + 2) / 4)
    assert region_confidence(torch.stack([torch.ones(1, 1, 8), torch.zeros(1, 1, 8)])) == 0


def test_region_confidence_covers_all_classes():
    probabilities = torch.zeros(3, 1, 1, 6)
    probabilities[1, ..., 1], probabilities[2, ..., 4] = 0.8, 0.6
    probabilities[0] = 1 - probabilities[1:].sum(0)
    assert region_confidence(probabilities, dilation=0) == pytest.approx(0.7)


def test_confident_and_near_scans_are_found():
    kept = []
    for seed in range(20):
        noise = torch.randn(2, 16, generator=torch.Generator().manual_seed(seed)) * 0.02
        names = [f"{group}{index}" for group in ("good", "far", "unsure", "both") for index in range(4)]
        confidence = [0.6 if "unsure" in name or "both" in name else 0.9 for name in names]
        distance = [0.5 if "far" in name or "both" in name else 0.2 for name in names]
        given = [
            {name: base + shift for name, base, shift in zip(names, bases, row.tolist(), strict=True)}
            for bases, row in zip((confidence, distance), noise, strict=True)
        ]
        kept += select_reliable(*given)
    assert all("good" in name for name in kept) and len(kept) == 20 * 4


def test_bad_input():
    with pytest.raises(ValueError, match="labelled must hold the features of at least one scan"):
        nearest_distance({"a": torch.ones(2)}, [])
    with pytest.raises(ValueError, match=r"same scans, got \['a'\] and \['b'\]"):
        select_reliable({"a": 1.0}, {"b": 1.0})
    with pytest.raises(ValueError, match="confidence must be finite, but that of a is not"):
        select_reliable({"a": math.nan}, {"a": 1.0})
    for name in ("confidence_quantile", "distance_quantile"):
        with pytest.raises(ValueError, match=rf"{name} must lie in 0\.\.1, got 2"):
            select_reliable({"a": 1.0}, {"a": 1.0}, **{name: 2})
