from __future__ import annotations

import pytest

from common.prepare.splits import split_at_random, split_by_lists, split_by_name

PATIENTS = [f"P{number:03d}" for number in range(335)]


def write(folder, **lists):
    paths = []
    for name, lines in lists.items():
        paths.append(folder / f"{name}.txt")
        paths[-1].write_text("\n".join(lines) + "\n")
    return paths


def test_by_name():
    assert split_by_name(["a", "b", "c"], 1) == {"training": ["a", "b"], "validation": ["c"], "test": []}
    assert split_by_name(["a", "b"], 0)["training"] == ["a", "b"]


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
        ((250, 25, 61), "split must add up to the 335 patients that were found, got 250,25,61, which makes 336"),
        ((250, 85), "must be three numbers"),
        ((0, 275, 60), "must be three numbers"),
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
    with pytest.raises(ValueError, match=r"val\.txt: expected .* once, found b again, who is in .*train\.txt"):
        split_by_lists(["a", "b"], [train, validation])
    validation.write_text("")
    with pytest.raises(ValueError, match=r"train\.txt: expected names of the 1 patients .*such as a; found b\."):
        split_by_lists(["a"], [train, validation])
    with pytest.raises(ValueError, match=r"val\.txt: expected at least one patient for training"):
        split_by_lists(["a", "b"], [validation, train])
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt: no such file; .* list of patients for validation"):
        split_by_lists(["a"], [validation, tmp_path / "nowhere.txt"])
    for files in ([train], [train] * 4):
        with pytest.raises(ValueError, match="lists must be two or three files"):
            split_by_lists(["a"], files)


def test_many_unknown_names_are_not_all_listed(tmp_path):
    files = write(tmp_path, train=PATIENTS, val=[])
    with pytest.raises(ValueError, match="found P001, P002, P003, P004, P005 and 329 more"):
        split_by_lists(["P000"], files)
