"""The cross-label that an annotator starts from."""

import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from common.labelling import predrawn
from common.labelling.requested import Request, Requests, all_views

SHAPE = (5, 6, 7)
SLICES = {"axial": 2, "coronal": 4, "sagittal": 1}


def in_file(array, orientation):
    """An array of the RAS grid as it lies in a file of another orientation, and the file's affine."""
    change = ornt_transform(io_orientation(np.eye(4)), axcodes2ornt(orientation))
    return apply_orientation(array, change), inv_ornt_aff(change, array.shape)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "ASL"])
def test_requested_slices_hold_classes_and_background_and_nothing_lies_elsewhere(orientation):
    prediction = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)
    expected = np.zeros(SHAPE, np.uint8)
    for i, j, k in np.ndindex(SHAPE):
        if k == 2 or j == 4 or i == 1:
            expected[i, j, k] = prediction[i, j, k] or 3
    there, affine = in_file(prediction, orientation)
    drawn = predrawn(there.shape, affine, SLICES, background=3, prediction=there)
    np.testing.assert_array_equal(drawn, in_file(expected, orientation)[0])


def test_a_blank_template_is_all_background():
    drawn = predrawn(SHAPE, np.eye(4), {"coronal": 4}, background=9)
    assert set(np.unique(drawn)) == {0, 9}
    assert (drawn[:, 4] == 9).all()
    assert np.count_nonzero(drawn) == 5 * 7


def test_requests_are_kept(tmp_path):
    requests = Requests(tmp_path / "run")
    assert requests.get("a") is None
    requests.put("a", Request(SLICES, "her", 0.5, "because"))
    requests.put("b", Request({}))
    requests.put("a", Request(SLICES, "lc", None, "other"))
    again = Requests(tmp_path / "run")
    assert again.get("a") == Request(SLICES, "lc", None, "other")
    assert again.get("b").strategy == "by_hand"


def test_missing_views_get_the_middle():
    assert all_views({"axial": 6}, SHAPE) == {"axial": 6, "coronal": 3, "sagittal": 2}


def test_a_damaged_file_of_requests_is_named(tmp_path):
    (tmp_path / "label_requests.json").write_text("[]")
    with pytest.raises(ValueError, match="label_requests"):
        Requests(tmp_path).get("a")
