"""What the app answers to its clients' requests, other than trainings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import ndimage

from common.annotations import AnnotationStore, Ledger
from common.annotations.folder import slice_request
from common.cohort.volumes import open_nifti, to_ras
from common.labelling import Requests, Scores, Specialist, next_scan
from tests.bundles.workflows import ROOT
from tests.monailabel_app.conftest import dice
from tests.samples import save

CLASS, BACKGROUND = "left atrium", "annotated background"


@pytest.fixture(scope="module")
def specialist(study):
    return Specialist(ROOT / "bundles" / "fmabs_la", study.run, labels={1: CLASS})


def planes(study, scan):
    """The requested slices of a scan, as a mask on the grid of its file."""
    image = open_nifti(study.folder / f"{scan}.nii.gz")
    mask = np.zeros(image.shape, bool)
    for view, index in Requests(study.run).get(scan).slices.items():
        wanted = slice_request(view, index, image.shape, image.affine)
        np.moveaxis(mask, wanted.file_axis, 0)[wanted.file_index] = True
    return mask


def test_what_a_client_learns_first(server):
    info = server.info()
    assert next(iter(info["models"])) == "cross_label"  # Slicer pre-draws with the first that has the label
    assert info["models"]["cross_label"]["labels"] == {CLASS: 1, BACKGROUND: 2}
    assert info["models"]["fmabs_la"]["labels"] == {CLASS: 1}
    assert [info["models"][f"generalist_{it}d"]["dimension"] for it in (2, 3)] == [2, 3]
    assert info["labels"] == [CLASS, BACKGROUND]
    assert next(iter(info["strategies"])) == "her"
    assert set(info["strategies"]) >= {"lc", "he", "random", "coreset", "kmeans", "typicality", "clasp_pe"}
    assert info["trainers"]["fmabs_la"]["config"]["start"] == ["current", "anew"]
    assert info["datastore"]["total"] == 8


def test_the_whole_scan_on_its_own_grid(server, study, specialist):
    for scan in ("phantom_000", "phantom_003"):  # RAS and ASL
        expected = specialist.predict(study.folder / f"{scan}.nii.gz").label
        assert (server.infer("fmabs_la", scan) != expected).mean() < 1e-4


def test_one_scoring_serves_all_strategies(server, study, specialist):
    status = server.run("/scoring/", "/scoring/all_strategies")
    assert status["status"] == "DONE"
    scores = Scores.read(study.run / "scores.json")
    assert set(scores.scans) == set(study.labels)
    assert scores.model == specialist.identity
    for strategy in server.info()["strategies"]:
        sample = server.next_scan(strategy)
        expected = next_scan(strategy, sorted(study.labels), labelled=(), scores=scores)
        asked = sample["query"]
        assert (sample["id"], asked["strategy"], asked["score"]) == (expected.scan, expected.strategy, expected.score)
        assert asked["reason"] == expected.reason
        assert set(asked["slices"]) == {"axial", "coronal", "sagittal"}
        assert asked["slices"] | expected.slices == asked["slices"]
        stored = server.ask("GET", f"/datastore/image/info?image={sample['id']}").json()
        assert stored["query"] == asked
    assert Scores.read(study.run / "scores.json") == scores


def test_the_requested_slices_are_predrawn(server, study, specialist):
    scan = server.next_scan("he")["id"]
    drawn, mask = server.infer("cross_label", scan), planes(study, scan)
    prediction = specialist.predict(study.folder / f"{scan}.nii.gz").label
    assert not drawn[~mask].any()
    np.testing.assert_array_equal(drawn[mask], np.where(prediction[mask] > 0, 1, 2))
    told = server.tell("cross_label", scan)
    assert told["slices"] == Requests(study.run).get(scan).slices
    assert told["label_names"] == {CLASS: 1, BACKGROUND: 2}


def middle_of(mask):
    """A voxel well inside the largest part of a flat mask."""
    depth = ndimage.distance_transform_edt(mask)
    return np.unravel_index(depth.argmax(), mask.shape)


@pytest.mark.parametrize("by", ["point", "box", "box and slice"])
def test_prompts_in_2d(server, study, by):
    scan = "phantom_003"
    reference, _ = study.reference(scan)
    k = int(reference.sum(axis=(0, 1)).argmax())
    i, j = map(int, middle_of(reference[:, :, k]))
    rows, columns = (np.flatnonzero(reference[:, :, k].any(axis=axis)).tolist() for axis in (1, 0))
    flat = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
    prompt = {
        "point": {"foreground": [[i, j, k]], "background": [[0, 0, k]]},
        "box": {"roi": [*flat, k, k + 1]},
        "box and slice": {"roi": flat, "slice": k, "foreground": [], "background": []},
    }[by]
    mask = server.infer("generalist_2d", scan, **prompt)
    assert dice(mask[:, :, k], reference[:, :, k]) > 0.8
    assert not np.delete(mask, k, axis=2).any()
    assert mask.max() == 1


def test_prompts_in_3d_mark_the_requested_slices(server, study):
    scan = "phantom_003"
    server.tell("cross_label", scan)  # opening a scan asks for slices of it
    reference, _ = study.reference(scan)
    mask = planes(study, scan)
    i, j, k = (np.flatnonzero(reference.any(axis=axes)).tolist() for axes in ((1, 2), (0, 2), (0, 1)))
    found = server.infer("generalist_3d", scan, roi=[i[0], j[0], i[-1] + 1, j[-1] + 1, k[0], k[-1] + 1])
    assert not found[~mask].any()
    assert dice(found[mask], reference[mask]) > 0.7


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        ("generalist_2d", {}, "expected a point inside the object"),
        ("generalist_2d", {"background": [[1, 1, 1]]}, "expected a point inside the object"),
        ("generalist_2d", {"foreground": [[1, 99, 1]]}, "within the scan"),
        ("generalist_2d", {"roi": [1, 1, 9, 9]}, "slice must say"),
        ("generalist_2d", {"roi": [1, 1, 9, 9], "slice": 99}, "slice must lie in 0..31"),
        ("generalist_2d", {"foreground": [[1, 1, 1]], "view": "oblique"}, "view must be one of"),
        ("generalist_3d", {"foreground": [[0, 0, 0]]}, "on one of the slices"),
    ],
)
def test_prompts_that_mark_nothing_are_refused(server, model, params, message):
    assert message in server.tell(model, "phantom_003", expect=400, **params)["detail"]


def test_unknown_names_are_refused(server):
    assert "strategy must be one of" in server.next_scan("nonsense", expect=400)["detail"]
    assert "no image" in server.tell("fmabs_la", "nobody", expect=404)["detail"]
    label = np.ones((4, 4, 4))
    assert "nobody" in server.save("nobody", label, np.eye(4), [CLASS], expect=404)["detail"]


@pytest.fixture(scope="module")
def scan(server):
    """The scan that `her` asks for first."""
    return server.next_scan("her")["id"]


class TestSaving:
    """A saved label, with segments as Slicer numbers them."""

    def test_slices_with_annotated_background(self, server, study, scan):
        reference, affine = study.reference(scan)
        mask = planes(study, scan)
        label = np.where(mask, np.where(reference > 0, 2, 1), 0)  # the order of segments is the annotator's
        reply = server.save(scan, label, affine, [BACKGROUND, CLASS])
        assert reply["annotation"] == "added"
        assert reply["voxels"] == mask.sum()
        stored = AnnotationStore(study.run).read("annotation", scan)
        expected = np.where(mask, reference, 255)
        np.testing.assert_array_equal(stored, to_ras(expected, affine)[0])
        entry = Ledger(study.run).entry(scan)
        asked = Requests(study.run).get(scan)
        assert (entry.round, entry.strategy, entry.score) == (0, "her", asked.score)
        assert entry.slices == asked.slices
        assert server.next_scan("her")["id"] != scan

    def test_a_correction_replaces_and_is_kept(self, server, study, scan):
        reference, affine = study.reference(scan)
        mask = planes(study, scan)
        label = np.where(mask, np.where(reference > 0, 1, 2), 0)
        assert server.save(scan, label, affine, [CLASS, BACKGROUND])["annotation"] == "unchanged"
        moved = np.where(mask, np.where(np.roll(reference, 1, axis=0) > 0, 1, 2), 0)
        assert server.save(scan, moved, affine, [CLASS, BACKGROUND])["annotation"] == "replaced"
        assert server.save(scan, label, affine, [CLASS, BACKGROUND])["annotation"] == "replaced"
        ledger = Ledger(study.run)
        assert ledger.labelled == [scan]
        assert len(list((study.run / "annotation" / "history").iterdir())) == 2

    def test_a_label_that_does_not_count_is_set_aside(self, server, study, scan):
        other = next(it for it in study.labels if it != scan)
        _, affine = study.reference(other)
        empty = np.zeros((32, 32, 32))
        server.tell("cross_label", other)
        reply = server.save(other, empty, affine, [CLASS, BACKGROUND], expect=400)
        assert "nothing" in reply["detail"] and "stays in the queue" in reply["detail"]
        assert not Ledger(study.run).is_labelled(other)
        assert (study.folder / "labels" / "incomplete" / f"{other}.nii.gz").is_file()
        assert server.info()["datastore"]["completed"] == 1

    def test_another_grid_is_refused(self, server, study, scan):
        other = next(it for it in study.labels if it != scan)
        _, affine = study.reference(other)
        label = np.zeros((32, 32, 30))
        label[8:20, 8:20] = 1
        reply = server.save(other, label, affine, [CLASS, "whole scan"], expect=400)
        assert reply["detail"]
        assert not Ledger(study.run).is_labelled(other)
        assert (study.folder / "labels" / "refused" / f"{other}.nii.gz").is_file()

    def test_a_file_of_annotations_is_taken_as_it_is(self, server, study, scan):
        """As ITK-SNAP saves it, which can paint 255 and sends no names."""
        other = next(it for it in study.labels if it != scan)
        reference, affine = study.reference(other)
        label = np.full(reference.shape, 255)
        label[:, :, 15] = reference[:, :, 15]
        assert server.save(other, label, affine, None)["annotation"] == "added"
        expected = to_ras(label, affine)[0]
        np.testing.assert_array_equal(AnnotationStore(study.run).read("annotation", other), expected)


def test_batch_inference_names_a_broken_image_and_goes_on(server, study):
    broken = study.folder / "broken.nii.gz"
    broken.write_bytes(b"no image")
    flat = save(study.folder / "flat.nii.gz", np.zeros((6, 7), np.float32))
    server.ask("GET", "/datastore/?output=all")
    try:
        status = server.run("/batch/infer", "/batch/infer/fmabs_la?images=all")
        assert status["status"] == "DONE"
        labels = {path.name for path in (study.folder / "labels" / "original").iterdir()}
        assert labels >= {f"{scan}.nii.gz" for scan in study.labels}
        told = " ".join(status["details"]) + server.log.read_text()
        assert "broken.nii.gz: expected a NIfTI file" in told
        assert server.run("/scoring/", "/scoring/all_strategies")["status"] == "DONE"
        assert set(Scores.read(study.run / "scores.json").problems) == {"broken", "flat"}
        sample = server.next_scan("her")
        assert sample["id"] not in ("broken", "flat")
        assert "broken, flat cannot be read" in sample["query"]["reason"]
        assert "broken" in server.tell("fmabs_la", "broken", expect=400)["detail"]
    finally:
        broken.unlink()
        flat.unlink()


def test_two_annotators_at_once(server, study):
    """The same scan saved by two people at once is annotated once, by one of them."""
    scan = server.next_scan("lc")["id"]
    reference, affine = study.reference(scan)
    mask = planes(study, scan)
    drawings = [np.where(mask, np.where(np.roll(reference, shift, axis=0) > 0, 1, 2), 0) for shift in (0, 1, 2, 3)]
    with ThreadPoolExecutor(4) as people:
        save_one = lambda drawing: server.save(scan, drawing, affine, [CLASS, BACKGROUND])["annotation"]  # noqa: E731
        outcomes = list(people.map(save_one, drawings))
    assert sorted(outcomes) == ["added", "replaced", "replaced", "replaced"]
    assert Ledger(study.run).labelled.count(scan) == 1
    stored = AnnotationStore(study.run).read("annotation", scan)
    possible = [to_ras(np.where(mask, drawing == 1, 255), affine)[0] for drawing in drawings]
    assert any(np.array_equal(stored, one) for one in possible)


def test_all_annotated(server, study):
    for scan in sorted(study.labels):
        if Ledger(study.run).is_labelled(scan):
            continue
        reference, affine = study.reference(scan)
        server.save(scan, np.where(reference > 0, 1, 2), affine, [CLASS, "whole scan"])
    assert all(server.next_scan(strategy) == {} for strategy in ("her", "random", "coreset"))
    assert server.info()["datastore"]["completed"] == 8
