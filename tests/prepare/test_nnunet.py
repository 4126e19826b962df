from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from common.__main__ import main
from common.annotations import (
    AnnotationStore,
    DatalistAnnotator,
    Ledger,
    OracleAnnotator,
    annotate_and_record,
    annotate_at_start,
    first_labelled,
)
from common.cohort import Cohort, CohortError, check_cohort
from common.cohort.cohort import write_datalist
from common.prepare import export_nnunet, prepare_nnunet
from tests.samples import save, states

AFFINE = np.diag([-1.5, -1.5, 3, 1])


@pytest.fixture
def raw(tmp_path):
    """Two training scans of two channels and a labelled and an unlabelled test scan, with an ignore label."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "Dataset007_Brain"
    for name in ("b_1", "b_2", "t_1", "t_2"):
        kind = "Ts" if name[0] == "t" else "Tr"
        for channel in range(2):
            image = rng.integers(0, 999, (5, 6, 4)).astype(np.int16)
            save(folder / f"images{kind}/{name}_000{channel}.nii.gz", image, AFFINE)
        if name != "t_2":
            save(folder / f"labels{kind}/{name}.nii.gz", rng.integers(0, 4, (5, 6, 4)).astype(np.uint8), AFFINE)
    content = {
        "channel_names": {"0": "T1", "1": "FLAIR"},
        "labels": {"background": 0, "core": 1, "oedema": 2, "ignore": 3},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def change(folder, **values):
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def ids(scans):
    return [scan.id for scan in scans]


def voxels(path):
    return np.asarray(nib.load(path).dataobj)


def test_a_raw_data_set(raw, tmp_path):
    cohort = prepare_nnunet(raw, tmp_path / "target", validation=1, progress=False)
    assert (ids(cohort.training), ids(cohort.validation), ids(cohort.test)) == (["b_1"], ["b_2"], ["t_1", "t_2"])
    assert (cohort.name, cohort.labels) == ("Dataset007_Brain", {1: "core", 2: "oedema"})
    assert [scan.label is not None for scan in cohort.scans] == [True, True, True, False]
    for scan in cohort.training:
        for channel in range(2):
            assert np.array_equal(
                voxels(scan.image)[..., channel], voxels(raw / f"imagesTr/{scan.id}_000{channel}.nii.gz")
            )
        label = voxels(raw / f"labelsTr/{scan.id}.nii.gz")
        assert np.array_equal(voxels(scan.label), np.where(label == 3, 255, label)) and (label == 3).any()


def test_there_and_back(raw, tmp_path):
    first = prepare_nnunet(raw, tmp_path / "a", validation=1, progress=False)
    back = export_nnunet(first, tmp_path / "raw", progress=False)
    content, wanted = (json.loads((folder / "dataset.json").read_text()) for folder in (back, raw))
    assert all(content[key] == wanted[key] for key in wanted)
    for path in raw.rglob("*.nii.gz"):
        copy = back / path.relative_to(raw)
        assert np.array_equal(voxels(copy), voxels(path)) and voxels(copy).dtype == voxels(path).dtype
        assert np.array_equal(nib.load(copy).affine, nib.load(path).affine)
    second = prepare_nnunet(back, tmp_path / "b", progress=False)
    same_files(first, second)


def same_files(first, second):
    assert (first.name, first.labels) == (second.name, second.labels)
    for split in ("training", "validation", "test"):
        assert ids(getattr(first, split)) == ids(getattr(second, split))
    for one, other in zip(first.scans, second.scans, strict=True):
        for path, copy in ((one.image, other.image), (one.label, other.label)):
            assert (path is None) == (copy is None)
            if path:
                assert np.array_equal(voxels(path), voxels(copy)) and voxels(path).dtype == voxels(copy).dtype
                assert np.array_equal(nib.load(path).affine, nib.load(copy).affine)


def test_a_cohort_of_ours_there_and_back(tmp_path):
    """One channel, scans without a label, uncompressed files, nothing to ignore; the order is that of the names."""
    rng = np.random.default_rng(1)
    items = {}
    for name, ending in (("a", "nii"), ("b", "nii.gz"), ("c", "nii.gz"), ("d", "nii.gz"), ("e", "nii")):
        image = rng.normal(size=(3, 4, 5)).astype(np.float32)
        save(tmp_path / f"cohort/images/{name}.{ending}", image, AFFINE)
        items[name] = {"image": f"images/{name}.{ending}"}
        if name not in "be":
            save(tmp_path / f"cohort/labels/{name}.{ending}", rng.integers(0, 2, (3, 4, 5)).astype(np.uint8), AFFINE)
            items[name]["label"] = f"labels/{name}.{ending}"
    splits = {"training": [items["a"], items["b"]], "validation": [items["c"]], "test": [items["d"], items["e"]]}
    write_datalist(tmp_path / "cohort", name="ours", labels={1: "blob"}, splits=splits)
    cohort = Cohort.open(tmp_path / "cohort")
    raw = export_nnunet(cohort, tmp_path / "raw", progress=False)
    assert sorted(path.name for path in (raw / "imagesTr").iterdir()) == ["a_0000.nii.gz", "c_0000.nii.gz"]
    assert json.loads((raw / "dataset.json").read_text())["labels"] == {"background": 0, "blob": 1}
    assert json.loads((raw / "splits_final.json").read_text()) == [{"train": ["a"], "val": ["c"]}]
    before = states(raw)
    export_nnunet(cohort, raw, progress=False)
    changed = {path for path, time in states(raw).items() if before[path] != time}
    assert changed <= {"dataset.json", "splits_final.json"}
    same_files(cohort, prepare_nnunet(raw, tmp_path / "back", progress=False))


def test_bad_scans(raw, tmp_path):
    (raw / "imagesTr/b_1_0001.nii.gz").unlink()
    (raw / "labelsTr/b_2.nii.gz").unlink()
    save(raw / "labelsTs/t_1.nii.gz", np.full((5, 6, 4), 9, np.uint8), AFFINE)
    save(raw / "imagesTs/b_2_0000.nii.gz", np.ones((5, 6, 4), np.uint8), AFFINE)
    with pytest.raises(CohortError) as caught:
        prepare_nnunet(raw, tmp_path / "target", progress=False)
    problems = caught.value.problems
    assert [problem.split(": ")[0] for problem in problems] == ["b_1", "b_2", "b_2", "t_1"]
    for problem, text in zip(
        problems, ("no such file", "in both", "labelsTr/b_2.nii.gz, found none", "found 9"), strict=True
    ):
        assert text in problem
    assert not (tmp_path / "target").exists()
    assert ids(prepare_nnunet(raw, tmp_path / "target", skip_bad=True, progress=False).scans) == ["t_2"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channel_names": None, "modality": {"0": "MRI"}}, "expected `channel_names` .*use `prepare decathlon`"),
        ({"channel_names": {"0": "T1", "2": "T2"}}, "expected `channel_names`"),
        ({"labels": {"whole": [1, 2], "core": [2]}}, "found regions of several"),
        ({"labels": {"0": "background", "1": "core"}}, 'expected `labels` like {"background": 0'),
        ({"file_ending": ".png"}, "expected `file_ending` to be one of .nii.gz"),
    ],
)
def test_bad_descriptions(raw, tmp_path, values, message):
    change(raw, **values)
    with pytest.raises(ValueError, match=message):
        prepare_nnunet(raw, tmp_path / "target", progress=False)
    assert not (tmp_path / "target").exists()


def test_bad_folds(raw, tmp_path):
    (raw / "splits_final.json").write_text('[{"train": ["b_1", "x"], "val": []}]')
    with pytest.raises(ValueError, match=r"splits_final.json: expected names of scans in imagesTr, found x"):
        prepare_nnunet(raw, tmp_path / "target", progress=False)
    (raw / "splits_final.json").write_text("{}")
    with pytest.raises(ValueError, match="expected a list of folds"):
        prepare_nnunet(raw, tmp_path / "target", progress=False)
    prepare_nnunet(raw, tmp_path / "target", validation=0, progress=False)


def test_what_nnunet_cannot_hold(make_cohort, tmp_path):
    folder = make_cohort()
    content = json.loads((folder / "datalist.json").read_text())
    content["validation"] = [{"image": content["training"].pop()["image"]}]
    (folder / "datalist.json").write_text(json.dumps(content))
    save(folder / "labels/scan_0.nii.gz", np.full((6, 7, 8), 9, np.uint8))
    save(folder / "images/scan_1.nii.gz", np.zeros((6, 7, 8, 2)))
    with pytest.raises(CohortError) as caught:
        export_nnunet(Cohort.open(folder), folder / "raw", progress=False)
    first, second, third = caught.value.problems
    assert "found [9]" in first and "expected a label" in second and "one number of channels, found 1 in" in third
    assert not (folder / "raw").exists()


def test_from_the_command_line(raw, tmp_path, capsys):
    main(["prepare", "nnunet", "--source", str(raw), "--target", str(tmp_path / "a")])
    out = capsys.readouterr().out
    assert "2 training, 0 validation, 2 test scans" in out and "255 not annotated: in 3 scans" in out
    main(["export", "nnunet", "--cohort", str(tmp_path / "a"), "--target", str(tmp_path / "raw")])
    assert capsys.readouterr().out.strip() == str(tmp_path / "raw")
    assert (tmp_path / "raw/labelsTr/b_2.nii.gz").is_file()


def test_the_annotations_of_a_run_there_and_back(make_cohort, tmp_path, capsys):
    """A run keeps annotations in RAS orientation; nnU-Net gets them on the images' own grids."""
    folder, run = make_cohort(3), tmp_path / "run"
    dense = voxels(folder / "labels/scan_0.nii.gz")
    for number in range(3):
        save(folder / f"images/scan_{number}.nii.gz", np.random.default_rng(number).normal(size=dense.shape), AFFINE)
        save(folder / f"labels/scan_{number}.nii.gz", dense, AFFINE)
    cohort = Cohort.open(folder)
    ledger, store = Ledger(run), AnnotationStore(run)
    annotate_and_record(cohort.training[:2], annotator=OracleAnnotator(), ledger=ledger, store=store, strategy="her")
    main(["export", "nnunet", str(folder), str(tmp_path / "raw"), "--run", str(run)])
    assert json.loads((tmp_path / "raw/dataset.json").read_text())["labels"] == {
        "background": 0,
        "blob": 1,
        "ignore": 2,
    }
    back = prepare_nnunet(tmp_path / "raw", tmp_path / "back", progress=False)
    check_cohort(back, progress=False)
    capsys.readouterr()
    main(["labels", "check", str(back.folder)])
    assert "3 scans: 2 slices, 1 no label" in capsys.readouterr().out
    again = AnnotationStore(tmp_path / "again")
    annotate_at_start(
        first_labelled(back), annotator=DatalistAnnotator(), cohort=back, ledger=Ledger(tmp_path / "again"), store=again
    )
    for scan in cohort.training[:2]:
        np.testing.assert_array_equal(again.read("annotation", scan.id), store.read("annotation", scan.id))
        np.testing.assert_allclose(nib.load(back.scan(scan.id).label).affine, AFFINE)
    assert Ledger(tmp_path / "again").entry("scan_0").slices == ledger.entry("scan_0").slices


def test_nnunet_learns_no_background_where_some_classes_only_were_annotated(make_cohort, tmp_path, caplog):
    folder = make_cohort(2, labels={"1": "blob", "2": "speck"})
    path = folder / "datalist.json"
    content = json.loads(path.read_text())
    content["training"][1]["annotated_classes"] = ["blob"]
    path.write_text(json.dumps(content))
    raw = export_nnunet(Cohort.open(folder), tmp_path / "raw", progress=False)
    assert "THE BACKGROUND IS LEFT OUT of scan_1" in caplog.text
    label = voxels(folder / "labels/scan_1.nii.gz")
    assert np.array_equal(voxels(raw / "labelsTr/scan_0.nii.gz"), label)
    assert np.array_equal(voxels(raw / "labelsTr/scan_1.nii.gz"), np.where(label == 0, 3, label))
