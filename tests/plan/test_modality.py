"""The modality by names and intensities."""

import pytest

from common.plan.modality import guess_modality


@pytest.mark.parametrize(
    ("channels", "ranges", "modality", "words"),
    [
        (["CT"], [(0, 1)], "ct", "calls the channel CT"),
        (["MRI"], [(-1000, 3000)], "mr", "names the channels MRI"),
        (["T1", "T2"], [(-1000, 3000)] * 2, "mr", "T1, T2"),
        ([], [(-1024, 1500), (-1000, 900), (0, 700)], "ct", "2 of 3 scans reach below -500"),
        (["image"], [(-1024, 1500)], "ct", "1 of 1"),
        ([], [(-1024, 1500), (0, 900)], "mr", "1 of 2 scans have no intensities like those of air"),
        ([], [(0, 4000)], "mr", "1 of 1"),
        ([], [(-3.5, 6)], "mr", "1 of 1"),
        ([], [(-900, -600)], "mr", "1 of 1"),
        (["CT", "PET"], [(-1024, 1500)], "mr", "0 of 1"),
    ],
)
def test_guess(channels, ranges, modality, words):
    found, reason = guess_modality(channels, ranges)
    assert found == modality and words in reason
