from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from common.__main__ import main
from common.cohort import CohortError, check_cohort
from common.prepare import prepare_h5, prepare_la
from tests.samples import DATA, needs_data, states

h5py = pytest.importorskip("h5py")


@pytest.fixture
def source(tmp_path):
    """Four scans in the form of the pancreas benchmark."""
    rng = np.random.default_rng(0)
    for number in range(1, 5):
        label = np.zeros((4, 5, 6))
        label[1:3, 1:3, 1:3] = number
        write(tmp_path / f"source/image000{number}_norm.h5", rng.normal(size=label.shape), label)
    return tmp_path / "source"


def write(path, image, label):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, array in (("image", image), ("label", label)):
            if array is not None:
                file[key] = array


def ids(scans):
    return [scan.id for scan in scans]


ALL = {"classes": {1: "a", 2: "b", 3: "a", 4: "b"}, "progress": False}


def test_files_and_classes(source, tmp_path):
    cohort = prepare_h5(source, tmp_path / "target", (0.5, 1, 2), validation=1, test=1, ending="norm", **ALL)
    assert (ids(cohort.training), ids(cohort.validation)) == (["image0001", "image0002"], ["image0004"])
    assert ids(cohort.test) == ["image0003"] and cohort.labels == {1: "a", 2: "b"}
    for scan, value in zip(sorted(cohort.scans, key=lambda scan: scan.id), (1, 2, 1, 2), strict=True):
        image, label = nib.load(scan.image), nib.load(scan.label)
        with h5py.File(source / f"{scan.id}_norm.h5") as file:
            assert np.array_equal(image.get_fdata(), file["image"][:].astype(np.float32))
            assert np.array_equal(label.get_fdata(), value * (file["label"][:] > 0))
        assert np.array_equal(image.affine, np.diag([0.5, 1, 2, 1]))
    check_cohort(cohort, progress=False)
    before = states(tmp_path / "target")
    prepare_h5(source, tmp_path / "target", (0.5, 1, 2), validation=1, test=1, ending="norm", **ALL)
    assert states(tmp_path / "target") == before


def test_bad_files(source, tmp_path):
    write(source / "image0001_norm.h5", np.ones((4, 5, 6)), None)
    write(source / "image0002_norm.h5", np.ones((4, 5)), np.ones((4, 5)))
    path = source / "image0003_norm.h5"
    path.write_bytes(path.read_bytes()[:-200])
    write(source / "image0005_norm.h5", np.ones((4, 5, 6)), np.ones((4, 5, 7)))
    write(source / "image0006_norm.h5", np.full((4, 5, 6), np.inf), np.ones((4, 5, 6)))
    with pytest.raises(CohortError) as caught:
        prepare_h5(source, tmp_path / "target", 1, **ALL)
    expected = [
        "image0001_norm: ", "array `label`, found none",
        "image0002_norm: ", "array `image`, found (4, 5)",
        "image0002_norm: ", "array `label`, found (4, 5)",
        "image0003_norm: ", "truncated or damaged",
        "image0003_norm: ", "truncated or damaged",
        "image0005_norm: ", "expected the grid of",
        "image0006_norm: ", "found 120 NaN or infinite voxels",
    ]  # fmt: skip
    for problem, start, text in zip(caught.value.problems, expected[::2], expected[1::2], strict=True):
        assert problem.startswith(start) and text in problem
    assert not (tmp_path / "target").exists()
    assert ids(prepare_h5(source, tmp_path / "target", 1, skip_bad=True, **ALL).scans) == ["image0004_norm"]


def test_bad_options(source, tmp_path):
    for voxel in (0, (1, 2), (1, 1, -1)):
        with pytest.raises(ValueError, match="voxel must be one or three positive numbers"):
            prepare_h5(source, tmp_path / "target", voxel)
    with pytest.raises(FileNotFoundError, match="expected h5 files whose names end in x, found none"):
        prepare_h5(source, tmp_path / "target", 1, ending="x")
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        prepare_h5(source / "nowhere", tmp_path / "target", 1)


def test_from_the_command_line(source, tmp_path, capsys):
    (tmp_path / "train.list").write_text("image0004\nimage0002\n")
    (tmp_path / "test.list").write_text("image0001\n")
    (tmp_path / "none").write_text("")
    lists = ",".join(str(tmp_path / name) for name in ("train.list", "none", "test.list"))
    words = ["prepare", "h5", str(source), str(tmp_path / "a"), "--voxel", "1,1,2.5", "--ending", "_norm"]
    main([*words, "--lists", lists, "--classes", "1+2+4=pancreas"])
    out = capsys.readouterr().out
    assert "2 training, 0 validation, 1 test scans" in out and "1 × 1 × 2.5 mm" in out
    assert "1 pancreas: in 3 scans, 6.67 % of their voxels" in out  # 8 of 120


@needs_data("la2018")
def test_a_real_scan_as_prepare_la_has_it(tmp_path):
    name = (DATA / "la2018/train.list").read_text().split()[0]
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / name).symlink_to(DATA / "la2018" / name)
    (tmp_path / "source/train.list").write_text(name)
    first = prepare_la(tmp_path / "source", tmp_path / "a", spacing=2.5, validation=0, progress=False)
    second = prepare_h5(
        tmp_path / "source", tmp_path / "b", 0.625, 2.5, ending="mri_norm2", classes="left atrium", progress=False
    )
    assert first.labels == second.labels and ids(first.scans) == ids(second.scans) == [name]
    for path, other in (
        (first.scans[0].image, second.scans[0].image),
        (first.scans[0].label, second.scans[0].label),
    ):
        assert np.array_equal(nib.load(path).get_fdata(), nib.load(other).get_fdata())
        assert np.array_equal(nib.load(path).affine, nib.load(other).affine)
