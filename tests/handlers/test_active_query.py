"""What the query hands on to its strategy."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from common.annotations import AnnotationStore, Ledger, LedgerEntry
from common.annotations.annotation import Annotation
from common.cohort import Scan
from common.handlers import ActiveQueryHandler, PoolScan
from common.query import ScoringStrategy, pooled_features, strategy


class Recorder(ScoringStrategy):
    """Chooses by name, and remembers what it was given."""

    name = "recorder"

    def __init__(self, needs_features):
        self.needs_features = needs_features

    def choose(self, candidates):
        self.candidates = candidates
        return super().choose(candidates)


class Annotator:
    def requested(self, number):
        return None

    def annotate(self, scans, *, round, suggestions):
        array = np.zeros((4, 4, 4), np.uint8)
        return {scan.id: Annotation(array, np.eye(4), slices=None, annotator="test") for scan in scans}


def scan_of(name, features=True):
    generator = torch.Generator().manual_seed(ord(name))
    probabilities = torch.randn(2, 4, 4, 4, generator=generator).softmax(0)
    found = torch.rand(3, 4, 4, 4, generator=generator) if features else None
    return PoolScan(probabilities, found, scan=name, image=torch.zeros(1, 4, 4, 4), affine=torch.eye(4))


def handler_of(folder, kind, features=True):
    return ActiveQueryHandler(
        SimpleNamespace(features=features),
        strategy=kind,
        annotator=Annotator(),
        ledger=Ledger(folder / "ledger.json"),
        store=AnnotationStore(folder),
        scans=[Scan(name, folder / name) for name in "abcd"],
        budget=3,
        initial=1,
        per_round=2,
    )


def play_a_round(handler, features=True):
    engine = SimpleNamespace(state=SimpleNamespace(iteration=5), max_iterations=10)
    handler.start(engine)
    first = handler.ledger.labelled
    handler.begin(engine, 1)
    for name in "abcd":
        handler.visit(scan_of(name, features))
    handler.end(engine, 1)
    return first


def test_features_of_the_pool_and_of_the_labelled_scans(tmp_path):
    kind = Recorder(needs_features=True)
    first = play_a_round(handler_of(tmp_path, kind))
    assert len(first) == 1 and sorted(kind.candidates.measures) == sorted(set("abcd") - set(first))
    expected = {
        name: pooled_features(scan_of(name).features, scan_of(name).probabilities.argmax(0) != 0) for name in "abcd"
    }
    assert all(torch.equal(kind.candidates.features[scan], expected[scan]) for scan in kind.candidates.measures)
    assert len(kind.candidates.known) == 1 and torch.equal(kind.candidates.known[0], expected[first[0]])


@pytest.mark.parametrize("features", [True, False])
def test_nothing_for_a_strategy_without_need(tmp_path, features):
    kind = Recorder(needs_features=False)
    play_a_round(handler_of(tmp_path, kind, features), features)
    assert not kind.candidates.features and not kind.candidates.known


def test_a_strategy_that_lives_on_features(tmp_path):
    handler = handler_of(tmp_path, strategy("coreset"))
    play_a_round(handler)
    assert [entry.strategy for entry in handler.ledger.entries] == ["random", "coreset", "coreset"]


def test_a_pool_without_features(tmp_path):
    with pytest.raises(ValueError, match=r"for the strategy coreset: PoolInference\(features=True\)"):
        handler_of(tmp_path, strategy("coreset"), features=False)


@pytest.mark.parametrize(("elsewhere", "asked"), [("", 3), ("d", 2), ("dc", 1), ("dcb", 0), ("dcba", 0)])
def test_scans_that_were_annotated_elsewhere_count(elsewhere, asked, tmp_path):
    """Of a budget of 3, one is due before training and two in the first round, whoever annotates them."""
    ledger = Ledger(tmp_path)
    ledger.add(LedgerEntry(scan, 7, 0, "her", None, None, 64, "somebody") for scan in elsewhere)
    handler = handler_of(tmp_path, strategy("her"))
    play_a_round(handler)
    own = [entry for entry in handler.ledger.entries if entry.annotator == "test"]
    assert len(own) == asked and not {entry.scan for entry in own} & set(elsewhere)
    assert [entry.round for entry in own] == ([0, 1, 1][-asked:] if asked else [])
    play_a_round(handler)
    assert len(handler.ledger.entries) == max(3, len(elsewhere)), "the round is not repeated"


def test_a_request_keeps_to_the_scans_that_nobody_has_annotated_meanwhile(tmp_path):
    handler = handler_of(tmp_path, strategy("her"))
    handler.annotator.requested = lambda number: {0: ["b"], 1: ["a", "d"]}[number]
    assert play_a_round(handler)[:1] == ["b"]
    assert handler.ledger.labelled == ["b", "a", "d"]
    handler = handler_of(tmp_path / "other", strategy("her"))
    handler.annotator.requested = lambda number: {0: ["b"], 1: ["a", "d"]}[number]
    handler.ledger.add(LedgerEntry(scan, 7, 0, "her", None, None, 64, "somebody") for scan in "ba")
    play_a_round(handler)
    assert handler.ledger.labelled == ["b", "a", "d"]
