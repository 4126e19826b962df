from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cohort import Ledger, LedgerEntry


def entry(scan="a", **changes):
    content = {"round": 1, "iteration": 500, "strategy": "her", "score": 0.25, "slices": {"axial": 3}, "voxels": 56}
    return LedgerEntry(scan, **{**content, "annotator": "oracle", **changes})


def test_a_new_ledger_is_empty_and_writes_nothing(tmp_path):
    ledger = Ledger(tmp_path)
    assert (ledger.labelled, ledger.budget_used, ledger.rounds, list(tmp_path.iterdir())) == ([], 0, 0, [])
    assert not ledger.is_labelled("a")


def test_what_is_added_is_there_after_reopening(tmp_path):
    ledger = Ledger(tmp_path / "run")
    ledger.add([entry("b", round=0, score=None), entry("a", slices=None)])
    ledger.add(entry("c"))

    again = Ledger(tmp_path / "run" / "ledger.json")

    assert again.entries == ledger.entries
    assert again.labelled == ["b", "a", "c"]
    assert (again.budget_used, again.slices_used, again.rounds) == (3, 2, 2)
    assert again.is_labelled("a")
    assert not again.is_labelled("d")
    assert again.entries[0].time.endswith("+00:00")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["ledger.json"]


def test_numpy_numbers_are_written_as_plain_ones(tmp_path):
    Ledger(tmp_path).add(entry(score=np.float32(0.5), slices={"axial": np.int64(3)}, voxels=np.int64(4)))
    assert Ledger(tmp_path).entries[0].slices == {"axial": 3}


def test_a_scan_is_annotated_once_and_nothing_is_half_added(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add(entry("a"))
    for added in ([entry("b"), entry("a")], [entry("b"), entry("b")]):
        with pytest.raises(ValueError, match="twice"):
            ledger.add(added)
    assert ledger.labelled == Ledger(tmp_path).labelled == ["a"]


def test_another_process_is_seen_after_reloading(tmp_path):
    ledger, other = Ledger(tmp_path), Ledger(tmp_path)
    other.add(entry("a"))
    assert ledger.labelled == []
    ledger.reload()
    assert ledger.labelled == ["a"]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"version": 99, "entries": []}',
        '{"version": 1}',
        '{"version": 1, "entries": [{"scan": "a"}]}',
        "\xff",
    ],
)
def test_a_damaged_ledger_is_named_and_left_alone(tmp_path, content):
    path = tmp_path / "ledger.json"
    path.write_bytes(content.encode("latin1"))
    with pytest.raises(ValueError, match=r"ledger\.json: expected"):
        Ledger(tmp_path)
    assert path.read_bytes() == content.encode("latin1")


def test_a_scan_twice_in_the_file(tmp_path):
    Ledger(tmp_path).add(entry("a"))
    content = json.loads((tmp_path / "ledger.json").read_text())
    content["entries"] *= 2
    (tmp_path / "ledger.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="found a twice"):
        Ledger(tmp_path)


@pytest.mark.parametrize("changes", [{"scan": ""}, {"score": float("nan")}, {"score": float("inf")}])
def test_entries_that_make_no_sense(changes):
    with pytest.raises(ValueError, match="must be"):
        entry(**changes)


@given(names=st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=6), split=st.integers(0, 6))
def test_any_names_in_any_order_come_back(tmp_path_factory, names, split):
    folder = tmp_path_factory.mktemp("ledger")
    ledger = Ledger(folder)
    ledger.add([entry(name) for name in names[:split]])
    ledger.add([entry(name) for name in names[split:]])
    assert Ledger(folder).labelled == names
