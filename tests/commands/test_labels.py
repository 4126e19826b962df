"""``python -m common labels``."""

import json

import numpy as np
import pytest

from common.__main__ import main
from common.cohort import Cohort
from tests.annotations.test_datalist import DENSE, slices
from tests.samples import DATA, needs_data, save


@pytest.fixture
def folder(make_cohort):
    made = make_cohort(3, labels={"1": "front", "2": "back"})
    for number, label in enumerate((DENSE, slices(), np.minimum(DENSE, 1))):
        save(made / f"labels/scan_{number}.nii.gz", label)
    return made


def test_a_table_numbers_and_a_file(folder, tmp_path, capsys):
    main(["labels", "check", str(folder), "--json", str(tmp_path / "found.json")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "scan" and "voxels of each class" in lines[0]
    assert [" ".join(line.split()) for line in lines[1:4]] == [
        "scan_0 training dense front 17, back 1",
        "scan_1 training 3 whole slices (axial 3–4, coronal 2), 36 % of the voxels front 13, back 1",
        "scan_2 training dense front 18",
    ]
    assert lines[-4:] == [
        "3 scans: 2 dense, 1 slices",
        "  1 front: annotated in 3 scans, found in 3",
        "  2 back: annotated in 3 scans, found in 2",
        "no problems",
    ]
    content = json.loads((tmp_path / "found.json").read_text())
    assert content["labels"] == {"1": "front", "2": "back"}
    assert [scan["part"]["kind"] for scan in content["scans"]] == ["dense", "slices", "dense"]


def test_the_exit_status_tells_of_problems(folder, capsys):
    save(folder / "labels/scan_1.nii.gz", DENSE * 9)
    with pytest.raises(SystemExit) as caught:
        main(["labels", "check", str(folder)])
    assert caught.value.code == 1
    printed = capsys.readouterr().out
    assert "Problems:\n  " in printed and "found the values 9, 18" in printed
    assert printed.splitlines()[-1] == "1 problem"


def declare(folder, tmp_path, classes):
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    main(["labels", "classes", str(folder), str(tmp_path / "classes.json")])


def test_classes_are_written_into_the_datalist(folder, tmp_path, capsys):
    before = json.loads((folder / "datalist.json").read_text())
    declare(folder, tmp_path, {"scan_[01]": ["back", "front"], "scan_2": ["front"]})
    assert capsys.readouterr().out.splitlines() == ["2 scans: all classes", "1 scans: front"]
    assert [scan.annotated_classes for scan in Cohort.open(folder).training] == [None, None, (1,)]
    main(["labels", "check", str(folder)])
    printed = capsys.readouterr().out
    assert "dense, front only" in printed and "  1 of some classes only" in printed
    assert "  2 back: annotated in 2 scans, found in 2" in printed
    declare(folder, tmp_path, {"scan_2": ["front", "back"]})
    assert [scan.annotated_classes for scan in Cohort.open(folder).training] == [None] * 3
    after = json.loads((folder / "datalist.json").read_text())
    for item in after["training"]:
        item.pop("annotated_classes")
    assert after == before


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"scan_0": ["middle"]}, r"classes of scan_0: expected names of classes \(front, back\), found 'middle'"),
        ({"scan_0": []}, r"classes of scan_0: expected a list of at least one"),
        ({"other_*": ["front"]}, r"classes of other_\*: expected the id of a scan with a label"),
        ({"scan_*": ["front"], "scan_1": ["back"]}, r"classes of scan_1: expected them once, found scan_\* and scan_1"),
        (["front"], "classes must be given like .*, got list"),
    ],
)
def test_bad_classes_change_nothing(folder, tmp_path, classes, message):
    before = (folder / "datalist.json").read_text()
    with pytest.raises(SystemExit, match=message):
        declare(folder, tmp_path, classes)
    assert (folder / "datalist.json").read_text() == before


@needs_data("hippocampus")
def test_real_labels(tmp_path, capsys):
    places = {name: DATA / "hippocampus" / name for name in ("images", "labels")}
    names = sorted(path.name for path in places["labels"].iterdir())[:3]
    items = [{name[:-1]: str(place / file) for name, place in places.items()} for file in names]
    content = {"name": "hippocampus", "labels": {"1": "anterior", "2": "posterior"}, "training": items}
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    main(["labels", "check", str(tmp_path)])
    assert "3 scans: 3 dense" in capsys.readouterr().out
