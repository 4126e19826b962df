"""What one setting may be, as a check and in words."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from common.settings import Setting, check_values

SIZES = Setting(type="integer", length=3, min=16, multiple_of=16)
SHARES = Setting(type="number", length=2, min=0, max=1, rising=True)


@pytest.mark.parametrize(
    ("what", "given", "expected"),
    [
        ({"type": "integer", "min": 1}, 1, 1),
        ({"type": "integer"}, np.int64(3), 3),
        ({"type": "number", "above": 0, "max": 1}, 1, 1),
        ({"type": "number", "min": 0, "below": 1}, 0.0, 0.0),
        ({"type": "yes_or_no"}, " TRUE ", True),
        ({"type": "yes_or_no"}, 0, False),
        ({"type": "text", "null": True}, None, None),
        ({"type": "path"}, Path("a"), Path("a")),
        ({"type": "one_of", "values": ("a", "b")}, "b", "b"),
        ({"type": "one_of", "values": (1, 4, 9)}, 4, 4),
        ({"type": "device"}, "cpu", "cpu"),
        ({"type": "device"}, torch.device("cpu"), torch.device("cpu")),
        ({"type": "integer", "length": 3}, (1, 2, 3), [1, 2, 3]),
        ({"type": "object"}, {"_target_": "x"}, {"_target_": "x"}),
    ],
)
def test_what_is_meant(what, given, expected):
    found = Setting(**what).read(given)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("setting", "given", "message"),
    [
        (Setting(type="integer", min=1), 0, "must be a whole number of at least 1, got 0."),
        (Setting(type="integer", min=1, null=True), "2", "must be a whole number of at least 1, or None, got '2'."),
        (Setting(type="integer"), 2.0, "must be a whole number, got 2.0."),
        (Setting(type="integer"), True, "must be a whole number, got True."),
        (Setting(type="number", above=0, below=1), 1, "must be a number above 0 and below 1, got 1."),
        (Setting(type="number", min=0, max=1), float("nan"), "must be a number from 0 to 1, got nan."),
        (Setting(type="number"), float("inf"), "must be a number, got inf."),
        (Setting(type="yes_or_no"), "no", "must be True or False (or 1 or 0), got 'no'."),
        (Setting(type="text"), "", "must be a text, got ''."),
        (Setting(type="path"), " ", "must be a path, got ' '."),
        (Setting(type="path"), 7, "must be a path, got 7."),
        (Setting(type="one_of", values=("a", "b")), "A", "must be one of a, b, got 'A'."),
        (Setting(type="one_of", values=(1, 4)), True, "must be one of 1, 4, got True."),
        (SIZES, 32, 'must be three whole numbers of at least 16, divisible by 16, as in "[16,16,16]", got 32.'),
        (SIZES, [32, 32], "got [32, 32]."),
        (SIZES, [32, 32, 40], "got [32, 32, 40]."),
        (SHARES, [0.5, 0.1], 'from 0 to 1, none smaller than the one before, as in "[1.0,1.0]", got [0.5, 0.1].'),
        (Setting(type="device"), "gpu", "got 'gpu', which is the name of none."),
        (Setting(type="device"), "cuda:99", "here; give cpu."),
    ],
)
def test_what_is_refused(setting, given, message):
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
        setting.read(given)


def test_all_that_is_wrong_comes_at_once():
    schema = {"a": Setting(type="integer"), "b": Setting(type="text"), "c": Setting(type="text")}
    with pytest.raises(ValueError, match=r"2 settings are not what they may be:\na must be .*\nc must be"):
        check_values(schema, {"a": 1.5, "b": "x", "c": 3, "d": object()})


def test_a_size_beside_another():
    schema = {"roi": SIZES, "stride": Setting(type="integer", length=3, at_most="roi")}
    assert check_values(schema, {"roi": [16, 16, 32], "stride": [16, 1, 32]})["stride"] == [16, 1, 32]
    assert check_values(schema, {"stride": [99, 1, 1]}), "nothing to compare with"
    with pytest.raises(ValueError, match=r"stride must be at most roi, \[16, 16, 32\], along each axis, got \[17, 1"):
        check_values(schema, {"roi": [16, 16, 32], "stride": [17, 1, 1]})


@pytest.mark.parametrize("entry", [{}, {"type": "whole"}, {"type": "text", "least": 1}])
def test_an_entry_of_a_schema_that_is_none(entry):
    with pytest.raises(ValueError, match="x: expected"):
        Setting.parse("x", entry)
