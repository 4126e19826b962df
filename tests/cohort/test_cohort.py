from __future__ import annotations

import json

import pytest

from common.cohort import Cohort, CohortError


def write(folder, **content):
    content = {"labels": {"1": "atrium"}, "training": [], **content}
    (folder / "datalist.json").write_text(json.dumps(content))
    return folder


def test_reads_splits_labels_and_ids(tmp_path):
    write(
        tmp_path,
        name="hearts",
        labels={"1": "atrium", "2": "ventricle"},
        training=[{"image": "images/a.nii.gz", "label": "labels/a.nii.gz"}, {"image": "images/b.nii"}],
        validation=[{"image": "images/c.v2.nii.gz"}],
    )

    cohort = Cohort.open(str(tmp_path))

    assert (cohort.name, cohort.labels, cohort.num_classes) == ("hearts", {1: "atrium", 2: "ventricle"}, 3)
    assert [scan.id for scan in cohort.scans] == ["a", "b", "c.v2"]
    assert cohort.training[0].label == tmp_path / "labels/a.nii.gz"
    assert cohort.training[1].label is None
    assert cohort.scan("c.v2") is cohort.validation[0]
    assert cohort.training[0].item() == {
        "scan": "a",
        "image": str(tmp_path / "images/a.nii.gz"),
        "label": str(tmp_path / "labels/a.nii.gz"),
    }
    assert "label" not in cohort.training[1].item()


def test_accepts_the_decathlons_peculiarities(tmp_path):
    write(
        tmp_path,
        labels={"0": "background", "1": "atrium"},
        training=[{"image": "./imagesTr/la_003.nii.gz", "label": "./labelsTr/la_003.nii.gz"}],
        test=["./imagesTs/la_001.nii.gz"],
        numTraining=1,
        modality={"0": "MRI"},
    )

    cohort = Cohort.open(tmp_path)

    assert cohort.labels == {1: "atrium"}
    assert cohort.training[0].image == tmp_path / "imagesTr/la_003.nii.gz"
    assert [scan.id for scan in cohort.test] == ["la_001"]


def test_evaluation_is_on_labelled_scans(tmp_path):
    labelled = [{"image": f"{name}.nii", "label": f"labels/{name}.nii"} for name in "ab"]
    cohort = Cohort.open(write(tmp_path, training=[labelled[0]], validation=[labelled[1], "c.nii"], test=["d.nii"]))
    assert cohort.evaluation_split == "validation"
    assert [scan.id for scan in cohort.labelled("validation")] == ["b"]
    with pytest.raises(ValueError, match=r"expected test scans with a label, found none of 1\."):
        cohort.labelled("test")
    with pytest.raises(ValueError, match="split must be one of training, validation, test, got 'tests'"):
        cohort.labelled("tests")
    cohort = Cohort.open(write(tmp_path, training=["c.nii"], validation=[labelled[0]], test=["d.nii", labelled[1]]))
    assert cohort.evaluation_split == "test"
    assert Cohort.open(write(tmp_path, training=[labelled[0]], test=["d.nii"])).evaluation_split is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"labels": None}, "expected `labels`.*found none"),
        ({"labels": {}}, "without a gap, found none"),
        ({"labels": {"0": "background"}}, "without a gap, found none"),
        ({"labels": {"1": "a", "3": "b"}}, r"without a gap, found \[1, 3\]"),
        ({"labels": {"atrium": 1}}, "found the keys 'atrium'"),
        ({"labels": {str(value): "x" for value in range(1, 256)}}, "without a gap"),
        ({"training": {"image": "a.nii"}}, "expected a list under `training`, found dict"),
        ({"training": [{"label": "a.nii"}]}, r"expected training\[0\] like"),
        ({"training": [{"image": ["a.nii", "b.nii"]}]}, r"expected training\[0\] like"),
        ({"training": [{"image": "a.nii", "label": 3}]}, r"expected training\[0\] like"),
        ({}, "expected scans under training, validation, test, found none"),
        ({"training": ["x/a.nii"], "test": ["y/a.nii.gz"]}, "y/a.nii.gz: expected a file name of its own.*x/a.nii"),
    ],
)
def test_a_wrong_datalist_is_explained(tmp_path, content, message):
    write(tmp_path, **content)
    with pytest.raises(CohortError, match=message):
        Cohort.open(tmp_path)


def test_all_problems_of_a_datalist_come_at_once(tmp_path):
    write(tmp_path, labels={"2": "a"}, training=["a.nii", 5, "a.nii"])
    with pytest.raises(CohortError) as caught:
        Cohort.open(tmp_path)
    assert len(caught.value.problems) == 3
    assert str(caught.value).startswith("3 problems")


def test_missing_folder_missing_datalist_and_broken_json(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Cohort.open(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"datalist\.json"):
        Cohort.open(tmp_path)
    (tmp_path / "datalist.json").write_text('{"training": [')
    with pytest.raises(CohortError, match=r"datalist.json: expected valid JSON.*line 1"):
        Cohort.open(tmp_path)
    (tmp_path / "datalist.json").write_text("[]")
    with pytest.raises(CohortError, match="found list"):
        Cohort.open(tmp_path)


def test_unknown_scan(make_cohort):
    with pytest.raises(KeyError, match="scan_9"):
        Cohort.open(make_cohort()).scan("scan_9")
