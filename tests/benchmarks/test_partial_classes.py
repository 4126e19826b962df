"""The cohorts of the study of partial classes."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import partial_classes
import pytest

from common.cohort import Cohort
from tests.annotations.test_datalist import DENSE
from tests.samples import save


@pytest.fixture
def cohort(make_cohort):
    folder = make_cohort(6, labels={"1": "front", "2": "back"})
    for number in range(6):
        save(folder / f"labels/scan_{number}.nii.gz", DENSE)
    whole = Cohort.open(folder)
    return replace(whole, training=whole.training[:5], test=whole.training[5:])


@pytest.mark.parametrize("arm", ["background", "marginal", "all", "complete"])
def test_every_second_label_loses_the_class(cohort, tmp_path, arm):
    partial_classes.make_cohort(cohort, tmp_path / arm, arm=arm, lost="back", scans=4, test=9)
    made = Cohort.open(tmp_path / arm)
    lost = {"background": ["scan_1", "scan_3"], "marginal": ["scan_1", "scan_3"]}.get(arm, [])
    names = ["scan_0", "scan_2"] if arm == "complete" else [f"scan_{number}" for number in range(4)]
    assert [scan.id for scan in made.training] == names and [scan.id for scan in made.test] == ["scan_5"]
    for scan in made.training:
        label = np.asarray(nib.load(scan.label).dataobj)
        assert np.array_equal(label, np.where(DENSE == 2, 0, DENSE) if scan.id in lost else DENSE)
        assert scan.annotated_classes == ((1,) if arm == "marginal" and scan.id in lost else None)


def test_bad_input(cohort, tmp_path):
    for settings in ({"lost": "middle", "scans": 4}, {"lost": "back", "scans": 6}):
        with pytest.raises(ValueError, match=r"expected a class (middle|back) and [46] training scans with a label"):
            partial_classes.make_cohort(cohort, tmp_path / "none", arm="all", test=1, **settings)
    assert not (tmp_path / "none").exists()
