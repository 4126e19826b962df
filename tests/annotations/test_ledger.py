from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.annotations import Ledger, LedgerEntry, ScanTrust, TrustEntry


def entry(scan="a", **changes):
    content = {"round": 1, "iteration": 500, "strategy": "her", "score": 0.25, "slices": {"axial": 3}, "voxels": 56}
    return LedgerEntry(scan, **{**content, "annotator": "oracle", **changes})


def trust_entry(number, **selected):
    scans = {scan: ScanTrust(0.5 + number / 16, 0.25, chosen) for scan, chosen in selected.items()}
    return TrustEntry(number, 10 * number, scans)


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


def test_a_replaced_entry_keeps_its_place_and_the_former_one_is_history(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add([entry("a"), entry("b"), entry("c")])
    first, second = entry("b", voxels=57, annotator="ann"), entry("b", voxels=58, slices=None)
    former = ledger.entry("b")
    ledger.replace(first)
    ledger.replace(second)
    again = Ledger(tmp_path)
    assert again.entries == ledger.entries == [ledger.entry("a"), second, ledger.entry("c")]
    assert again.history == ledger.history == [former, first]
    assert again.budget_used == 3 and again.is_labelled("b")
    ledger.add_trust(trust_entry(1, d=True))
    ledger.add(entry("d"))
    assert Ledger(tmp_path).history == [former, first]
    assert list(json.loads((tmp_path / "ledger.json").read_text())) == ["version", "entries", "history", "selections"]


def test_only_what_is_annotated_can_be_replaced(tmp_path):
    ledger = Ledger(tmp_path)
    with pytest.raises(KeyError, match=r"ledger\.json: expected an annotation of a, found none"):
        ledger.replace(entry("a"))
    assert not ledger.path.exists()


def test_the_file_has_one_line_for_each_scan_and_is_read_as_it_was_written_before(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add([entry("a"), entry("b")])
    lines = ledger.path.read_text().splitlines()
    assert len(lines) == 7 and [json.loads(line.rstrip(","))["scan"] for line in lines[3:5]] == ["a", "b"]
    ledger.path.write_text(json.dumps(json.loads(ledger.path.read_text()), indent=2))
    assert Ledger(tmp_path).entries == ledger.entries


def test_a_damaged_history_is_named(tmp_path):
    (tmp_path / "ledger.json").write_text('{"version": 1, "entries": [], "history": [{"scan": "a"}]}')
    with pytest.raises(ValueError, match=r"ledger\.json: expected `history` with scan, round"):
        Ledger(tmp_path)


@settings(deadline=None)
@given(names=st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=6), split=st.integers(0, 6))
def test_any_names_in_any_order_come_back(tmp_path_factory, names, split):
    folder = tmp_path_factory.mktemp("ledger")
    ledger = Ledger(folder)
    ledger.add([entry(name) for name in names[:split]])
    ledger.add([entry(name) for name in names[split:]])
    assert Ledger(folder).labelled == names


def test_selections_and_annotations_keep_each_other(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add(entry("a"))
    ledger.add_trust(trust_entry(1, b=True, c=False))
    ledger.add(entry("b"))
    ledger.add_trust(trust_entry(2, c=True))
    again = Ledger(tmp_path)
    assert again.labelled == ["a", "b"] and again.entries == ledger.entries
    assert again.trust_entries == ledger.trust_entries == [trust_entry(1, b=True, c=False), trust_entry(2, c=True)]
    assert again.trust_entries[0].scans["c"] == ScanTrust(0.5625, 0.25, False)
    assert (again.rounds, again.budget_used) == (2, 2)
    assert list(json.loads((tmp_path / "ledger.json").read_text())) == ["version", "entries", "selections"]
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.json"]


def test_a_repeated_round_replaces_itself_and_later_ones(tmp_path):
    ledger = Ledger(tmp_path)
    for number in (1, 2, 4):
        ledger.add_trust(trust_entry(number, a=True))
    Ledger(tmp_path).add_trust(trust_entry(2, a=False))
    ledger.reload()
    assert ledger.trust_entries == Ledger(tmp_path).trust_entries == [trust_entry(1, a=True), trust_entry(2, a=False)]


def test_a_selection_that_cannot_be_saved_is_not_half_there(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path)
    ledger.add_trust(trust_entry(1, a=True))
    before = (tmp_path / "ledger.json").read_bytes()
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        ledger.add_trust(trust_entry(2, a=True))
    assert ledger.trust_entries == [trust_entry(1, a=True)]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_a_ledger_without_selections_is_as_it_was_before_there_were_any(tmp_path):
    Ledger(tmp_path).add(entry("a", time="2026-01-02T03:04:05+00:00"))
    content = json.loads((tmp_path / "ledger.json").read_text())
    assert content == {
        "version": 1,
        "entries": [
            {
                "scan": "a",
                "round": 1,
                "iteration": 500,
                "strategy": "her",
                "score": 0.25,
                "slices": {"axial": 3},
                "voxels": 56,
                "annotator": "oracle",
                "time": "2026-01-02T03:04:05+00:00",
            }
        ],
    }
    assert Ledger(tmp_path).trust_entries == []


ROUND = '{"round": 1, "iteration": 2, "scans": '


@pytest.mark.parametrize(
    ("selections", "found"),
    [
        ("null", "None is no list"),
        ("{}", "{} is no list"),
        ("[1]", "TypeError"),
        ('[{"round": 1, "iteration": 2}]', "KeyError('scans')"),
        ('[{"round": 1, "scans": {}}]', "iteration"),
        ('[{"round": "1", "iteration": 2, "scans": {}}]', "round must be a whole number of at least 1, got '1'"),
        (f"[{ROUND}[]}}]", "items"),
        (f'[{ROUND}{{"a": 1}}}}]', "mapping"),
        (f'[{ROUND}{{"a": {{"confidence": 1, "selected": true}}}}}}]', "distance"),
        (f'[{ROUND}{{"a": {{"confidence": NaN, "distance": 0, "selected": true}}}}}}]', "confidence of a must be"),
        (f'[{ROUND}{{"a": {{"confidence": 1, "distance": -Infinity, "selected": true}}}}}}]', "distance of a must be"),
        (f'[{ROUND}{{"a": {{"confidence": 1{"0" * 400}, "distance": 0, "selected": true}}}}}}]', "OverflowError"),
        (f'[{ROUND}{{"a": {{"confidence": 1, "distance": 0, "selected": "yes"}}}}}}]', "selected of a must be true or"),
        (f'[{ROUND}{{"a": {{"confidence": 1, "distance": 0, "selected": true, "x": 1}}}}}}]', "'x'"),
        (f"[{ROUND}{{}}}}, {ROUND}{{}}}}]", "[1, 1]"),
    ],
)
def test_damaged_selections_are_named_and_left_alone(tmp_path, selections, found):
    path = tmp_path / "ledger.json"
    content = f'{{"version": 1, "entries": [], "selections": {selections}}}'
    path.write_text(content)
    with pytest.raises(ValueError, match=r"ledger\.json: expected `selections`") as error:
        Ledger(tmp_path)
    assert found in str(error.value).split(", found ", 1)[1]
    assert path.read_text() == content
