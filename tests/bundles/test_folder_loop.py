"""The folder loop from beginning to end: a script plays the annotator, who makes every mistake once."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from common.annotations import Annotation, AnnotationStore, Ledger, cross_label, submit_annotation
from common.cohort import Cohort, read_labels_ras
from tests.bundles.workflows import run


class Person:
    """Draws what a run asks for, from the cohort's labels."""

    def __init__(self, settings):
        self.output = Path(settings["output_dir"])
        self.labels = {scan.id: nib.load(scan.label) for scan in Cohort.open(settings["dataset_dir"]).training}

    def asked(self, number):
        """What a round asks for: the scan, the file to draw in and its slices as axis and index."""
        (scan,) = json.loads((self.output / "requests" / f"round_{number:02d}.json").read_text())["scans"]
        planes = {item["view"]: (item["file_axis"], item["file_index"]) for item in scan["slices"]}
        return scan["scan"], Path(scan["draw_in"]), planes

    def drawing(self, number, without=()):
        """The label on the slices asked for, and on one more that the left atrium certainly lies on."""
        scan, _, planes = self.asked(number)
        truth = np.asarray(self.labels[scan].dataobj).astype(np.uint8)
        array = np.full(truth.shape, 255, np.uint8)
        index = int(np.argmax(truth.any(axis=(1, 2))))
        for axis, place in [*(plane for view, plane in planes.items() if view not in without), (0, index)]:
            where = tuple(place if axis == other else slice(None) for other in range(3))
            array[where] = truth[where]
        return nib.Nifti1Image(array, self.labels[scan].affine)

    def draw(self, number):
        nib.save(self.drawing(number), self.asked(number)[1])

    def crops(self, number):
        """Saves a part of the volume only."""
        nib.save(self.drawing(number).slicer[2:], self.asked(number)[1])

    def shifts(self, number):
        """Saves with another origin, as a program does that does not keep the header."""
        image = self.drawing(number)
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), np.diag([1.0, 1, 1, 1])), self.asked(number)[1])

    def forgets_a_slice(self, number):
        nib.save(self.drawing(number, without=["coronal"]), self.asked(number)[1])

    def takes_another_value(self, number):
        image = self.drawing(number)
        array = np.asarray(image.dataobj).copy()
        array[array == 1] = 3
        nib.save(nib.Nifti1Image(array, image.affine), self.asked(number)[1])

    def is_still_saving(self, number):
        """Half of a file, as it is found while a program writes it."""
        path = self.asked(number)[1]
        nib.save(self.drawing(number), path)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])

    def saves_beside(self, number):
        path = self.asked(number)[1]
        nib.save(self.drawing(number), path.with_name("drawing.nii.gz"))


MISTAKES = {
    0: [
        (Person.crops, "expected the grid of", "save the drawing without resampling or cropping"),
        (Person.shifts, "expected the grid of", "save the drawing without resampling or cropping"),
        (Person.is_still_saving, "expected a complete NIfTI file, found a truncated or damaged one"),
    ],
    1: [
        (Person.forgets_a_slice, "expected every voxel to be set on the coronal slice"),
        (Person.takes_another_value, "expected 0 background, 1 left atrium and 255 not annotated, found 3."),
    ],
    2: [(Person.saves_beside, "drawing.nii.gz: expected drawings in place of the templates alone")],
}
"""What the person does wrong in each round, one thing after the other, and what the run then says."""


def files(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_mistake_is_named_and_loses_nothing_until_the_budget_is_spent(small_settings, capsys):
    settings = {**small_settings, "annotator": "folder", "pseudo_label_rounds": 0}
    person, output = Person(settings), Path(settings["output_dir"])
    scans = []
    for number, iteration in enumerate((0, 3, 6)):
        run("fmabs_la", "train", settings)
        scan, file, _ = person.asked(number)
        said = capsys.readouterr().out
        assert f"Round {number} waits for 1 annotation." in said and str(file) in said
        for mistake, *words in MISTAKES[number]:
            mistake(person, number)
            drawn = files(output / "requests")
            capsys.readouterr()
            run("fmabs_la", "train", settings)
            said = capsys.readouterr().out
            assert all(word in said for word in words), said
            assert f"Round {number} waits for 1 annotation." in said
            assert files(output / "requests") == drawn, "nothing that somebody has drawn is changed"
            assert Ledger(output).labelled == scans
            assert torch.load(output / "checkpoint.pt", weights_only=True)["iteration"] == iteration
        person.draw(number)
        scans.append(scan)
    run("fmabs_la", "train", settings)
    entries = Ledger(output).entries
    assert [(it.scan, it.round, it.iteration, it.annotator) for it in entries] == [
        (scans[0], 0, 0, "folder"),
        (scans[1], 1, 3, "folder"),
        (scans[2], 2, 6, "folder"),
    ]
    for number, entry in enumerate(entries):
        found = AnnotationStore(output).read("annotation", entry.scan)
        expected = nib.as_closest_canonical(person.drawing(number))
        np.testing.assert_array_equal(found, np.asarray(expected.dataobj))
        assert entry.voxels == np.count_nonzero(found != 255)
    assert torch.load(output / "checkpoint.pt", weights_only=True)["iteration"] == 8
    assert (output / "model.pt").is_file()
    before = files(output / "requests")
    run("fmabs_la", "train", settings)
    assert files(output / "requests") == before and Ledger(output).entries == entries, "the budget is spent"


def annotate_elsewhere(settings, scan_id, round):
    """Has a scan annotated by another way than the run's own requests, as MONAI Label does."""
    output = Path(settings["output_dir"])
    (scan,) = (it for it in Cohort.open(settings["dataset_dir"]).training if it.id == scan_id)
    label, affine = read_labels_ras(scan.label)
    slices = {view: int(np.argmax(label.sum(axis=axes))) for view, axes in (("axial", (0, 1)), ("coronal", (0, 2)))}
    annotation = Annotation(cross_label(label, slices), affine, slices, "somebody")
    ledger, store = Ledger(output), AnnotationStore(output)
    submit_annotation(scan, annotation, ledger=ledger, store=store, strategy="her", score=0.5, round=round)


@pytest.mark.parametrize("finished", ["the one asked for", "another one"])
def test_scans_annotated_elsewhere_count(finished, small_settings):
    """The run neither asks for the first scan nor waits for one that was annotated meanwhile; the budget holds."""
    settings = {**small_settings, "annotator": "folder", "pseudo_label_rounds": 0}
    person, output = Person(settings), Path(settings["output_dir"])
    first, *others = person.labels
    annotate_elsewhere(settings, first, round=0)
    run("fmabs_la", "train", settings)
    assert not (output / "requests" / "round_00.json").exists()
    asked = person.asked(1)[0]
    assert asked in others
    second = asked if finished == "the one asked for" else next(scan for scan in others if scan != asked)
    annotate_elsewhere(settings, second, round=1)
    run("fmabs_la", "train", settings)
    third = person.asked(2)[0]
    person.draw(2)
    run("fmabs_la", "train", settings)
    entries = Ledger(output).entries
    assert [(it.scan, it.annotator) for it in entries] == [
        (first, "somebody"),
        (second, "somebody"),
        (third, "folder"),
    ]
    assert len({first, second, third}) == 3
    assert torch.load(output / "checkpoint.pt", weights_only=True)["iteration"] == 8
