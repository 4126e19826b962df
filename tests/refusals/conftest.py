"""A cohort that nothing is wrong with."""

import pytest

from common.prepare import write_phantom


@pytest.fixture(scope="session")
def cohort_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, scans=5, size=16, seed=0)
    return folder
