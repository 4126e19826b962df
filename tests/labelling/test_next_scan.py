"""Which scan is next, and the words that say why."""

import pytest

from common.annotations.ledger import LedgerEntry
from common.labelling import ScanScores, Scores, next_scan, round_number

SCANS = ("a", "b", "c", "d")
FEATURES = {"a": (0.0, 0.0), "b": (1.0, 0.0), "c": (0.0, 3.0), "d": (2.0, 2.0)}


def scores(**changes):
    numbers = {"a": 0.1, "b": 0.4, "c": 0.3, "d": 0.2}
    scans = {
        scan: ScanScores(
            (0, 0),
            {"her": {"score": numbers[scan]}, "coreset": {"score": 0.0}, "random": {"score": 0.0}},
            {"axial": 5},
            FEATURES[scan],
        )
        for scan in SCANS
    }
    return Scores("model", 0.0, scans | changes)


def ask(strategy, labelled=(), given=None, **more):
    return next_scan(strategy, SCANS, labelled=labelled, scores=scores() if given is None else given, **more)


def test_the_highest_score_is_next():
    assert [ask("her", labelled).scan for labelled in ((), ("b",), ("b", "c"), ("a", "b", "c"))] == ["b", "c", "d", "d"]
    assert ask("her", "abcd") is None
    choice = ask("her", ("b",))
    assert (choice.strategy, choice.score, choice.slices) == ("her", 0.3, {"axial": 5})
    assert "3 scans without annotation" in choice.reason
    assert "0.3" in choice.reason and "0.1 to 0.3" in choice.reason


def test_the_farthest_of_what_is_annotated_is_next():
    assert ask("coreset", ("a",)).scan == "c"  # distances to a: b 1, c 3, d 2.83
    assert ask("coreset", ("a", "c")).scan == "d"  # b 1, d min(2.83, 2.24)
    assert ask("coreset", ("a",)).score is None


def test_broken_scans_are_left_out_and_named():
    choice = ask("her", given=scores(b=ScanScores((0, 0), problem="it is broken")))
    assert choice.scan == "c"
    assert "b cannot be read" in choice.reason


def test_chance_decides_without_a_model_and_says_so():
    choice = next_scan("her", SCANS, labelled="abc", scores=None, why_unscored="there is no model yet")
    assert (choice.scan, choice.strategy, choice.score) == ("d", "random", None)
    assert "there is no model yet" in choice.reason


def test_chance_decides_where_the_network_has_no_features():
    without = Scores("m", 0.0, {scan: ScanScores((0, 0), {"her": {"score": 0.1}}) for scan in SCANS})
    choice = ask("coreset", given=without)
    assert choice.strategy == "random"
    assert "no features" in choice.reason


def test_random_needs_no_scores_and_is_reproducible():
    drawn = [next_scan("random", SCANS, labelled=(), scores=None, seed=seed).scan for seed in range(20)]
    assert drawn == [next_scan("random", SCANS, labelled=(), scores=None, seed=seed).scan for seed in range(20)]
    assert set(drawn) == set(SCANS)


@pytest.mark.parametrize("name", ["nonsense", "assft"])
def test_an_unknown_strategy_is_refused(name):
    with pytest.raises(ValueError, match="strategy must be one of"):
        ask(name)


def entry(scan, round):
    return LedgerEntry(scan, round, 0, "her", None, None, 1, "monai_label")


@pytest.mark.parametrize(
    ("entries", "learnt", "expected"),
    [
        ([], "", 0),
        ([("a", 0)], "", 0),
        ([("a", 0), ("b", 0)], "ab", 1),
        ([("a", 0), ("b", 1)], "a", 1),
        ([("a", 0), ("b", 1)], "ab", 2),
    ],
)
def test_a_round_ends_when_all_of_it_has_been_learnt_from(entries, learnt, expected):
    assert round_number([entry(*it) for it in entries], learnt) == expected
