from __future__ import annotations

import pytest

from common.prepare.splits import divide, split_at_random, split_by_count, split_by_lists

PATIENTS = [f"P{number:03d}" for number in range(335)]


def write(folder, **lists):
    paths = []
    for name, lines in lists.items():
        paths.append(folder / f"{name}.txt")
        paths[-1].write_text("\n".join(lines) + "\n")
    return paths


def test_by_count():
    """Labelled scans are for validation and testing first; without a label, c and e are the last resort for testing."""
    names, labelled = list("abcde"), list("abd")
    assert split_by_count(names, labelled, 1, 1) == {"training": ["a", "c", "e"], "validation": ["d"], "test": ["b"]}
    assert split_by_count(names, labelled, 0, 4) == {"training": ["c"], "validation": [], "test": ["a", "b", "d", "e"]}
    assert split_by_count(names, labelled, 0, 0)["training"] == names
    assert split_by_count(names, labelled, 0, 5) == {"training": [], "validation": [], "test": names}
    with pytest.raises(ValueError, match="validation must be 0 to 3, the number of labelled scans, got 4"):
        split_by_count(names, labelled, 4, 0)
    with pytest.raises(ValueError, match=r"test must be 0 to 3, .* got 4"):
        split_by_count(names, labelled, 2, 4)


def test_in_one_way(tmp_path):
    with pytest.raises(ValueError, match="in one way, got test and lists; give one of them"):
        divide(["a"], test=1, lists=[tmp_path, tmp_path])
    assert divide(["a", "b"])["training"] == ["a", "b"]
    assert divide(["a", "b"], split=(0, 0, 2))["test"] == ["a", "b"]


def test_the_papers_numbers_at_random():
    splits = split_at_random(PATIENTS, (250, 25, 60), seed=0)
    assert [len(names) for names in splits.values()] == [250, 25, 60]
    assert sorted(name for names in splits.values() for name in names) == PATIENTS
    assert all(names == sorted(names) for names in splits.values())
    assert splits == split_at_random(PATIENTS[::-1], (250, 25, 60), seed=0)
    assert splits != split_at_random(PATIENTS, (250, 25, 60), seed=1)
    # Drawn, not cut off by name: 60 of 335 at random have a mean place near 167 (standard error 12).
    assert 100 < sum(int(name[1:]) for name in splits["test"]) / 60 < 234


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((250, 25, 61), "split must add up to the 335 scans that were found, got 250,25,61, which makes 336"),
        ((250, 85), "must be three numbers"),
        ((400, -125, 60), "must be three numbers"),
    ],
)
def test_numbers_that_do_not_work_out(numbers, message):
    with pytest.raises(ValueError, match=message):
        split_at_random(PATIENTS, numbers, seed=0)


def test_lists_keep_their_order_and_may_leave_patients_out(tmp_path):
    files = write(tmp_path, train=["c", "a,12", "", " b "], val=["d"], test=["f"])
    assert split_by_lists(list("abcdef"), files) == {"training": ["c", "a", "b"], "validation": ["d"], "test": ["f"]}
    assert split_by_lists(list("abcdef"), files[:2])["test"] == []


def test_lists_that_do_not_work_out(tmp_path):
    train, validation = write(tmp_path, train=["a", "b"], val=["b"])
    with pytest.raises(ValueError, match=r"val\.txt: expected .* once, found b again, which is in .*train\.txt"):
        split_by_lists(["a", "b"], [train, validation])
    validation.write_text("")
    with pytest.raises(ValueError, match=r"train\.txt: expected names of the 1 scans .*such as a; found b\."):
        split_by_lists(["a"], [train, validation])
    assert split_by_lists(["a", "b"], [validation, validation, train])["test"] == ["a", "b"]
    with pytest.raises(ValueError, match=r"val\.txt: expected the name of at least one scan, found none"):
        split_by_lists(["a", "b"], [validation, validation])
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt: no such file; .* list of scans for validation"):
        split_by_lists(["a"], [validation, tmp_path / "nowhere.txt"])
    for files in ([train], [train] * 4):
        with pytest.raises(ValueError, match="lists must be two or three files"):
            split_by_lists(["a"], files)


def test_many_unknown_names_are_not_all_listed(tmp_path):
    files = write(tmp_path, train=PATIENTS, val=[])
    with pytest.raises(ValueError, match="found P001, P002, P003, P004, P005 and 329 more"):
        split_by_lists(["P000"], files)
