import math

import pytest

from common.metrics import MEASURES, means_by_scan, summarise


def scores(dice, distance=None, missing=False):
    distances = dict.fromkeys(MEASURES[2:], math.nan if distance is None else distance)
    return {"dice": dice, "jaccard": dice / 2, "missing": missing} | distances


def test_by_hand():
    summary = summarise(
        {
            "a": {"atrium": scores(0.8, 2.0), "ventricle": scores(0.6, 4.0)},
            "b": {"atrium": scores(0.0, missing=True), "ventricle": scores(0.4, 6.0)},
        }
    )
    assert summary["scans"] == 2
    atrium, ventricle, mean = *summary["classes"].values(), summary["mean"]
    assert list(summary["classes"]) == ["atrium", "ventricle"]
    assert atrium["dice"] == pytest.approx({"mean": 0.4, "sd": 0.8 / math.sqrt(2)})
    assert atrium["hd95_mm"] == {"mean": 2.0, "sd": None}  # the missed one is not a distance of 0
    assert (atrium["missing"], ventricle["missing"], mean["missing"]) == (1, 0, 1)
    assert ventricle["asd_voxel"] == pytest.approx({"mean": 5.0, "sd": math.sqrt(2)})
    assert mean["dice"]["mean"] == pytest.approx((0.7 + 0.2) / 2)
    assert mean["hd95_mm"]["mean"] == pytest.approx((3.0 + 6.0) / 2)


def test_nothing_defined():
    assert summarise({"a": {"atrium": scores(math.nan)}})["mean"]["dice"] == {"mean": None, "sd": None}
    assert summarise({}) == {
        "scans": 0,
        "classes": {},
        "mean": {name: {"mean": None, "sd": None} for name in MEASURES} | {"missing": 0},
    }


def test_means_by_scan_leave_out_what_is_not_defined():
    classes = {"atrium": scores(0.8, 2.0), "ventricle": scores(0.0, missing=True)}
    found = {"a": classes, "b": {"atrium": scores(math.nan, missing=True)}}
    assert means_by_scan(found, "dice") == {"a": pytest.approx(0.4)}
    assert means_by_scan(found, "asd_mm") == {"a": 2.0}
