"""The record of a selection: what it holds, what it refuses, and how JSON takes it."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.annotations import ScanTrust, TrustEntry
from common.annotations.trust import parse_trust

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
RATED = st.builds(ScanTrust, confidence=NUMBERS, distance=NUMBERS, selected=st.booleans())
SCANS = st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), RATED, max_size=6)


def test_the_selected_scans_come_by_name() -> None:
    scans = {name: ScanTrust(0.5, 0.25, name != "b") for name in ("c", "b", "a")}
    assert TrustEntry(1, 10, scans).selected == ["a", "c"]
    assert TrustEntry(1, 10, {}).selected == []


def test_as_json_takes_it() -> None:
    entry = TrustEntry(np.int64(2), np.int64(40), {"a": ScanTrust(np.float32(0.5), np.float64(0.25), True)})
    assert json.loads(json.dumps(entry.plain())) == {
        "round": 2,
        "iteration": 40,
        "scans": {"a": {"confidence": 0.5, "distance": 0.25, "selected": True}},
    }


@given(rounds=st.lists(SCANS, max_size=4))
def test_any_selections_come_back_from_json(tmp_path_factory, rounds) -> None:
    entries = [TrustEntry(number, 10 * number, scans) for number, scans in enumerate(rounds, start=1)]
    assert parse_trust(json.loads(json.dumps([entry.plain() for entry in entries])), "ledger.json") == entries


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"round": 0}, "round must be a whole number of at least 1, got 0"),
        ({"round": 1.5}, "round must be a whole number of at least 1, got 1.5"),
        ({"iteration": -1}, "iteration must be a whole number of at least 0, got -1"),
        ({"scans": {"": ScanTrust(0.5, 0.5, True)}}, "scans must have a scan's id as their keys, got ''"),
        ({"scans": {"a": ScanTrust(float("nan"), 0.5, True)}}, "confidence of a must be finite, got nan"),
        ({"scans": {"a": ScanTrust("0.5", 0.5, True)}}, "confidence of a must be finite, got '0.5'"),
        ({"scans": {"a": ScanTrust(0.5, float("inf"), True)}}, "distance of a must be finite, got inf"),
        ({"scans": {"a": ScanTrust(0.5, 0.5, 1)}}, "selected of a must be true or false, got 1"),
    ],
)
def test_entries_that_make_no_sense(changes, message) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        TrustEntry(**{"round": 1, "iteration": 0, "scans": {}} | changes)
