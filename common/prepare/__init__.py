"""Turns data in other formats into cohorts, and makes up scans (phantoms) if there are none."""

from common.prepare.brats import prepare_brats
from common.prepare.la import prepare_la
from common.prepare.nifti import prepare_nifti
from common.prepare.open_cohort import open_cohort
from common.prepare.phantom import phantom_volume, write_phantom

__all__ = ["open_cohort", "phantom_volume", "prepare_brats", "prepare_la", "prepare_nifti", "write_phantom"]
