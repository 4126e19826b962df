"""Two-stream batches: what is drawn, and that a resumed run draws the same."""

import itertools
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from common.annotations.ledger import Ledger, LedgerEntry
from common.annotations.streams import TwoStreamSampler

SCANS = ["a", "b", "c", "d", "e", "f", "g"]


def ledger_of(tmp_path, *scans):
    ledger = Ledger(tmp_path / "ledger.json")
    ledger.add(LedgerEntry(scan, 0, 0, "random", None, None, 1, "oracle") for scan in scans)
    return ledger


def take(sampler, number):
    return list(itertools.islice(iter(sampler), number))


def test_batches_hold_labelled_scans_first(tmp_path):
    sampler = TwoStreamSampler(SCANS, ledger_of(tmp_path, "c", "f", "a"), batch_labelled=2, batch_unlabelled=3)
    for batch in take(sampler, 20):
        positions = [position for position, _ in batch]
        assert set(positions[:2]) <= {0, 2, 5}
        assert set(positions[2:]) <= {1, 3, 4, 6}


def test_every_scan_comes_once_before_any_comes_again(tmp_path):
    sampler = TwoStreamSampler(SCANS, ledger_of(tmp_path, "c", "f", "a"), batch_labelled=1, batch_unlabelled=2)
    batches = take(sampler, 12)
    assert Counter(batch[0][0] for batch in batches) == {0: 4, 2: 4, 5: 4}
    assert Counter(position for batch in batches for position, _ in batch[1:]) == dict.fromkeys((1, 3, 4, 6), 6)


def test_going_on_at_an_iteration_draws_what_would_have_come(tmp_path):
    ledger = ledger_of(tmp_path, "c", "f")
    whole = take(TwoStreamSampler(SCANS, ledger, seed=3), 10)
    resumed = TwoStreamSampler(SCANS, ledger, seed=3)
    resumed.iteration = 6
    assert take(resumed, 4) == whole[6:]
    assert whole != take(TwoStreamSampler(SCANS, ledger, seed=4), 10)


def test_a_new_annotation_is_seen_at_the_next_batch(tmp_path):
    ledger = ledger_of(tmp_path, "c")
    batches = iter(TwoStreamSampler(SCANS, ledger, batch_labelled=1, batch_unlabelled=1))
    assert next(batches)[0][0] == 2
    ledger.add(LedgerEntry("e", 1, 1, "her", 0.5, None, 1, "oracle"))
    assert {next(batches)[0][0] for _ in range(4)} == {2, 4}


def test_all_labelled_both_streams_draw_from_them(tmp_path):
    sampler = TwoStreamSampler(["a", "b"], ledger_of(tmp_path, "a", "b"), batch_labelled=1, batch_unlabelled=1)
    assert {position for batch in take(sampler, 4) for position, _ in batch} == {0, 1}


def test_a_selection_rules_the_second_stream(tmp_path):
    trusted = SimpleNamespace(selected=["b", "g", "c"])
    sampler = TwoStreamSampler(
        SCANS, ledger_of(tmp_path, "c", "f"), batch_labelled=1, batch_unlabelled=2, trusted=trusted
    )
    batches = iter(sampler)
    assert {position for _ in range(4) for position, _ in next(batches)[1:]} == {1, 6}
    trusted.selected = ["d"]
    assert [position for position, _ in next(batches)[1:]] == [3, 3]
    trusted.selected = []
    assert [[position for position, _ in batch] for batch in (next(batches), next(batches))] in ([[2], [5]], [[5], [2]])
    trusted.selected = ["d"]
    assert [position for position, _ in next(batches)[1:]] == [3, 3]


def drawn_one_by_one(scans, labelled, selected, *, numbers, seed, iteration):
    """A batch by its definition, with nothing kept from one draw to the next."""
    first = [place for place, scan in enumerate(scans) if scan in labelled]
    second = [place for place, scan in enumerate(scans) if scan in selected and scan not in labelled]
    positions = []
    for stream, (number, pool) in enumerate(zip(numbers, (first, second or first), strict=True)):
        for index in range(iteration * number, (iteration + 1) * number):
            order = np.random.default_rng([seed, index // len(pool), stream]).permutation(len(pool))
            positions.append(pool[order[index % len(pool)]])
    seeds = np.random.default_rng([seed, iteration, 0, 2]).integers(2**31, size=len(positions))
    return list(zip(positions, seeds.tolist(), strict=True))


def test_batches_are_as_defined_while_the_ledger_and_the_selection_change(tmp_path):
    scans = [f"scan_{number}" for number in range(23)]
    ledger, trusted = ledger_of(tmp_path, "scan_4"), SimpleNamespace(selected=scans[2:9])
    settings = {"batch_labelled": 2, "batch_unlabelled": 3, "seed": 8}
    plain, chosen = (TwoStreamSampler(scans, ledger, **settings, trusted=it) for it in (None, trusted))
    other = Ledger(tmp_path / "ledger.json")
    for iteration in range(60):
        if iteration in (7, 31, 32):
            ledger.add(LedgerEntry(scans[iteration % 23], 1, iteration, "her", 0.5, None, 1, "oracle"))
        if iteration == 15:
            trusted.selected = scans[11:18]
        if iteration == 40:
            other.reload()
            other.add(LedgerEntry("scan_0", 2, iteration, "her", 0.5, None, 1, "oracle"))
            ledger.reload()
        for sampler, selected in ((plain, scans), (chosen, trusted.selected)):
            expected = drawn_one_by_one(scans, ledger.labelled, selected, numbers=(2, 3), seed=8, iteration=iteration)
            assert sampler.batch(iteration) == expected


def test_scans_are_listed_again_only_after_a_change(tmp_path):
    class Counted(dict):
        reads = 0

        def __getitem__(self, scan):
            Counted.reads += 1
            return super().__getitem__(scan)

    ledger = ledger_of(tmp_path, "c", "f")
    sampler = TwoStreamSampler(SCANS, ledger)
    sampler.positions = Counted(sampler.positions)
    take(sampler, 50)
    assert Counted.reads == len(SCANS) + 2
    ledger.add(LedgerEntry("e", 1, 1, "her", 0.5, None, 1, "oracle"))
    take(sampler, 50)
    assert Counted.reads == 2 * len(SCANS) + 5


def test_an_empty_selection_without_a_first_stream(tmp_path):
    ledger, trusted = ledger_of(tmp_path, "c", "f"), SimpleNamespace(selected=[])
    sampler = TwoStreamSampler(SCANS, ledger, batch_labelled=0, batch_unlabelled=2, trusted=trusted)
    assert all({position for position, _ in batch} == {2, 5} for batch in take(sampler, 4))


def test_without_a_labelled_scan(tmp_path):
    with pytest.raises(ValueError, match="no scan is labelled"):
        take(TwoStreamSampler(SCANS, Ledger(tmp_path / "ledger.json")), 1)


def test_bad_stream_sizes(tmp_path):
    with pytest.raises(ValueError, match="not both 0, got 0, 0"):
        TwoStreamSampler(SCANS, Ledger(tmp_path / "ledger.json"), batch_labelled=0, batch_unlabelled=0)


def in_processes(monkeypatch, rank, processes):
    monkeypatch.setattr("common.annotations.streams.idist.get_rank", lambda: rank)
    monkeypatch.setattr("common.annotations.streams.idist.get_world_size", lambda: processes)


def test_processes_draw_together_what_one_draws(tmp_path, monkeypatch):
    ledger = ledger_of(tmp_path, "c", "f", "a")
    alone = take(TwoStreamSampler(SCANS, ledger, batch_labelled=1, batch_unlabelled=3, seed=5), 6)
    parts = []
    for rank in range(2):
        in_processes(monkeypatch, rank, 2)
        parts.append(take(TwoStreamSampler(SCANS, ledger, batch_labelled=1, batch_unlabelled=3, seed=5), 6))
    assert [first + second for first, second in zip(*parts, strict=True)] == alone


@pytest.mark.parametrize(
    ("labelled", "unlabelled", "trusted", "message"),
    [
        (1, 2, None, "batch_labelled . batch_unlabelled must be a multiple of the number of processes, 2.*got 1 and 2"),
        (1, 1, SimpleNamespace(selected=[]), "must both be multiples of the number of processes, 2.*got 1 and 1"),
    ],
)
def test_a_batch_that_processes_cannot_share_out(labelled, unlabelled, trusted, message, tmp_path, monkeypatch):
    in_processes(monkeypatch, 0, 2)
    sizes = {"batch_labelled": labelled, "batch_unlabelled": unlabelled}
    with pytest.raises(ValueError, match=message):
        TwoStreamSampler(SCANS, ledger_of(tmp_path, "c"), **sizes, trusted=trusted)
