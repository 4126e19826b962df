from __future__ import annotations

import numpy as np
import pytest

from common.prepare.classes import Classes


@pytest.mark.parametrize(
    ("text", "names", "values"),
    [
        ("liver", {1: "liver"}, {1: 1}),
        ("liver, spleen", {1: "liver", 2: "spleen"}, {1: 1, 2: 2}),
        ("2=liver,5=spleen", {1: "liver", 2: "spleen"}, {2: 1, 5: 2}),
        ("5=spleen,2=liver", {1: "spleen", 2: "liver"}, {5: 1, 2: 2}),
        ("1+2+4=tumour,300=ignore", {1: "tumour"}, {1: 1, 2: 1, 4: 1, 300: 255}),
        ("255=blob", {1: "blob"}, {255: 1}),
    ],
)
def test_classes_of_the_command_line(text, names, values):
    assert Classes.parsed(text) == Classes(names, values)


@pytest.mark.parametrize(
    "text", ["", "liver,,spleen", "0=liver", "a=liver", "1=liver,1=spleen", "1=liver,b", "2=", "3=ignore"]
)
def test_classes_that_make_no_sense(text):
    with pytest.raises(ValueError, match="classes must be names"):
        Classes.parsed(text)


def test_background_is_no_class():
    assert Classes.named({0: "background", 2: "a"}) == Classes({1: "a"}, {2: 1})


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int64, np.float32, np.float64, bool])
def test_values_become_classes(kind):
    classes = Classes.parsed("1=b,7=a" if kind is not bool else "1=b")
    label = classes.mapped(np.array([0, 1, 7 if kind is not bool else 1], kind), "file")
    assert label.dtype == np.uint8 and label.tolist() == [0, 1, 2 if kind is not bool else 1]


def test_values_beyond_a_byte():
    assert Classes.parsed("300=a,1000=ignore").mapped(np.array([300, 0, 1000]), "file").tolist() == [1, 0, 255]


def test_rounding():
    classes = Classes.parsed("a,b")
    assert classes.mapped(np.array([0.9991, 1.0009, -0.0009, 2]), "file").tolist() == [1, 1, 0, 2]
    for wrong, found in ((1.0011, "1.0011"), (0.5, "0.5"), (np.nan, "nan"), (np.inf, "inf")):
        with pytest.raises(ValueError, match=f"file: expected label values that are whole numbers, found {found}"):
            classes.mapped(np.array([0, wrong]), "file")


def test_values_that_nothing_is_declared_for():
    with pytest.raises(ValueError, match=r"0 background, 1 a, found 3, 255; name .* as in 3=NAME,255=NAME, .* ignore"):
        Classes.parsed("a").mapped(np.array([0, 1, 3, 255]), "file")
    with pytest.raises(ValueError, match="found -1, 2, 3, 4, 5 and 2 more"):
        Classes.parsed("a").mapped(np.array([-1, 2, 3, 4, 5, 6, 7]), "file")


def test_whatever_is_above_the_background():
    assert Classes({1: "whole"}, None).mapped(np.array([0, 1, 4, 2.0]), "file").tolist() == [0, 1, 1, 1]
    with pytest.raises(ValueError, match="found -1"):
        Classes({1: "whole"}, None).mapped(np.array([-1, 1]), "file")
