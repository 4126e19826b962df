"""Turns data in other formats into cohorts, and makes up scans (phantoms) if there are none."""

from common.prepare.brats import prepare_brats
from common.prepare.decathlon import prepare_decathlon
from common.prepare.folder import prepare_folder
from common.prepare.h5_folder import prepare_h5
from common.prepare.la import prepare_la
from common.prepare.nnunet import prepare_nnunet
from common.prepare.nnunet_export import export_nnunet
from common.prepare.open_cohort import open_cohort
from common.prepare.phantom import phantom_volume, write_phantom
from common.prepare.summary import summary

__all__ = [
    "export_nnunet",
    "open_cohort",
    "phantom_volume",
    "prepare_brats",
    "prepare_decathlon",
    "prepare_folder",
    "prepare_h5",
    "prepare_la",
    "prepare_nnunet",
    "summary",
    "write_phantom",
]
