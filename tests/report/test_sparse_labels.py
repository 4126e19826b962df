"""Pages of runs on sparse labels, which need not have a slice in every view."""

import numpy as np

from common.annotations import AnnotationStore, DatalistAnnotator, Ledger, annotate_and_record
from common.cohort import Cohort
from common.report.reading import read_story
from tests.samples import save


def test_the_cross_label_shown_has_a_slice_in_every_view(make_cohort, tmp_path):
    folder, run = make_cohort(3), tmp_path / "run"
    dense = np.zeros((6, 7, 8), np.uint8)
    dense[2:4, 2:5, 3:6] = 1
    for number, views in enumerate((1, 0, 3)):
        label = np.full_like(dense, 255)
        for axis in range(views):
            place = tuple(3 if other == axis else slice(None) for other in range(3))
            label[place] = dense[place]
        label[3, 3, 3] = 1
        save(folder / f"labels/scan_{number}.nii.gz", label)
    cohort, ledger = Cohort.open(folder), Ledger(run)
    places = {"ledger": ledger, "store": AnnotationStore(run)}
    annotate_and_record(cohort.training, annotator=DatalistAnnotator(), **places, strategy="first")
    assert [sorted(entry.slices) for entry in ledger.entries] == [["sagittal"], [], ["axial", "coronal", "sagittal"]]
    (shown,) = read_story(run, folder).pictures
    assert (shown.kind, shown.scan, shown.slices) == (
        "cross_label",
        "scan_2",
        {"axial": 3, "coronal": 3, "sagittal": 3},
    )
