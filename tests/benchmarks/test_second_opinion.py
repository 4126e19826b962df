"""What is measured of an opinion's confident voxels, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from second_opinion import measured


def test_measures_of_four_voxels():
    """The third voxel is wrong and unsure, the fourth right and unsure; the object is the last three."""
    first = np.array([0.95, 0.05, 0.6, 0.4])
    probabilities = np.stack([first, 1 - first])[:, :, None, None]
    truth = np.array([0, 1, 1, 1])[:, None, None]
    # any confidence: found 2 of 3, none too many
    assert measured(probabilities, truth, 0.0) == pytest.approx((2 * 2 / (2 + 3), 1, 1 / 4))
    assert measured(probabilities, truth, 0.9) == pytest.approx((1, 1 / 3, 0))
