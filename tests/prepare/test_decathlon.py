from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from common.__main__ import main
from common.cohort import CohortError, check_cohort
from common.prepare import prepare_decathlon
from tests.samples import save, states


@pytest.fixture
def task(tmp_path):
    """Four training scans and a test scan of two modalities, in the form of Task05."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "Task05_Prostate"
    for name in ("p_00", "p_01", "p_02", "p_03", "p_04"):
        kind = "Ts" if name == "p_04" else "Tr"
        save(folder / f"images{kind}/{name}.nii.gz", rng.normal(size=(5, 6, 4, 2)).astype(np.float32))
        if kind == "Tr":
            save(folder / f"labelsTr/{name}.nii.gz", rng.integers(0, 3, (5, 6, 4)).astype(np.float32))
    content = {
        "name": "PROSTATE",
        "modality": {"0": "T2", "1": "ADC"},
        "labels": {"0": "background", "1": "PZ", "2": "TZ"},
        "numTraining": 4,
        "training": [
            {"image": f"./imagesTr/p_0{n}.nii.gz", "label": f"./labelsTr/p_0{n}.nii.gz"} for n in (2, 0, 1, 3)
        ],
        "test": ["./imagesTs/p_04.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def change(task, **values):
    path = task / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def ids(scans):
    return [scan.id for scan in scans]


def test_a_task(task, tmp_path):
    originals = states(task)
    cohort = prepare_decathlon(task, tmp_path / "target", validation=1, progress=False)
    assert (ids(cohort.training), ids(cohort.validation), ids(cohort.test)) == (
        ["p_00", "p_01", "p_02"],
        ["p_03"],
        ["p_04"],
    )
    assert (cohort.name, cohort.labels) == ("PROSTATE", {1: "PZ", 2: "TZ"})
    assert cohort.test[0].label is None
    check_cohort(cohort, channels=2, simulated=True, progress=False)
    for scan in cohort.training:
        assert np.array_equal(
            nib.load(scan.image).get_fdata(), nib.load(task / f"imagesTr/{scan.id}.nii.gz").get_fdata()
        )
        assert np.array_equal(
            nib.load(scan.label).get_fdata(), nib.load(task / f"labelsTr/{scan.id}.nii.gz").get_fdata()
        )
    assert json.loads((tmp_path / "target/datalist.json").read_text())["modality"] == {"0": "T2", "1": "ADC"}
    before = states(tmp_path / "target")
    prepare_decathlon(task, tmp_path / "target", validation=1, progress=False)
    assert before == states(tmp_path / "target") and originals == states(task)


def test_divided_otherwise(task, tmp_path):
    cohort = prepare_decathlon(task, tmp_path / "a", test=1, progress=False)
    assert ids(cohort.test) == ["p_03", "p_04"]
    cohort = prepare_decathlon(task, tmp_path / "b", split=(2, 1, 1), progress=False)
    assert [len(part) for part in (cohort.training, cohort.validation, cohort.test)] == [2, 1, 2]
    (tmp_path / "train.txt").write_text("p_04\np_02\n")
    (tmp_path / "val.txt").write_text("p_00\n")
    cohort = prepare_decathlon(
        task, tmp_path / "c", lists=[tmp_path / "train.txt", tmp_path / "val.txt"], progress=False
    )
    assert (ids(cohort.training), ids(cohort.validation)) == (["p_04", "p_02"], ["p_00"])


def test_bad_scans(task, tmp_path):
    save(task / "imagesTr/p_00.nii.gz", np.ones((5, 6, 4)))
    save(task / "imagesTr/p_01.nii.gz", np.ones((5, 6, 4, 3)))
    (task / "imagesTs/p_04.nii.gz").unlink()
    with pytest.raises(CohortError) as caught:
        prepare_decathlon(task, tmp_path / "target", progress=False)
    first, second, third = caught.value.problems
    assert first.startswith("p_00: ") and "expected a 3D volume with 2 channels, found shape (5, 6, 4) with 1" in first
    assert second.startswith("p_01: ") and "with 3" in second
    assert third.startswith("p_04: ") and "no such file" in third
    assert not (tmp_path / "target").exists()
    cohort = prepare_decathlon(task, tmp_path / "target", skip_bad=True, progress=False)
    assert ids(cohort.scans) == ["p_02", "p_03"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"labels": None}, "expected `labels` as the Decathlon has it"),
        ({"modality": ["T1"]}, "expected `modality` as the Decathlon has it"),
        ({"training": [{"label": "x"}]}, "expected an image in every item of `training`"),
        ({"training": [{"image": ["a", "b"]}]}, "expected paths of an image and a label under `training`"),
        ({"modality": None, "channel_names": {"0": "T1"}}, "`prepare nnunet` reads nnU-Net's"),
    ],
)
def test_bad_descriptions(task, tmp_path, values, message):
    change(task, **values)
    with pytest.raises(ValueError, match=message):
        prepare_decathlon(task, tmp_path / "target", progress=False)
    assert not (tmp_path / "target").exists()


def test_two_scans_of_one_name(task, tmp_path):
    items = json.loads((task / "dataset.json").read_text())["training"]
    change(task, training=items + items[:1])
    with pytest.raises(CohortError, match=r"^p_02: .*expected a file name of its own"):
        prepare_decathlon(task, tmp_path / "target", progress=False)


def test_from_the_command_line(task, tmp_path, capsys):
    main(["prepare", "decathlon", "--source", str(task), "--target", str(tmp_path / "a"), "--validation", "1"])
    out = capsys.readouterr().out
    assert "PROSTATE, 3 training, 1 validation, 1 test scans" in out and "channels: T2, ADC" in out
    with pytest.raises(SystemExit, match=r"dataset\.json: no such file"):
        main(["prepare", "decathlon", "--source", str(tmp_path), "--target", str(tmp_path / "b")])
