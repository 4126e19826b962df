"""Scans and what is known of them."""

from common.cohort.annotate_densely import annotate_densely
from common.cohort.annotation import Annotation, Annotator, Suggestions
from common.cohort.cohort import Cohort, Scan, write_datalist
from common.cohort.errors import CohortError
from common.cohort.folder_annotator import AnnotationsPending, FolderAnnotator
from common.cohort.images import check_images, images
from common.cohort.ledger import Ledger, LedgerEntry
from common.cohort.open_cohort import open_cohort
from common.cohort.oracle_annotator import OracleAnnotator
from common.cohort.phantom import phantom_volume, write_phantom
from common.cohort.prepare_brats import prepare_brats
from common.cohort.prepare_la import prepare_la
from common.cohort.prepare_nifti import prepare_nifti
from common.cohort.selection import RatedScan, SelectionEntry
from common.cohort.store import AnnotationStore
from common.cohort.streams import ScanDataset, TwoStreamSampler
from common.cohort.volumes import read_labels_ras, read_ras

__all__ = [
    "Annotation",
    "AnnotationStore",
    "AnnotationsPending",
    "Annotator",
    "Cohort",
    "CohortError",
    "FolderAnnotator",
    "Ledger",
    "LedgerEntry",
    "OracleAnnotator",
    "RatedScan",
    "Scan",
    "ScanDataset",
    "SelectionEntry",
    "Suggestions",
    "TwoStreamSampler",
    "annotate_densely",
    "check_images",
    "images",
    "open_cohort",
    "phantom_volume",
    "prepare_brats",
    "prepare_la",
    "prepare_nifti",
    "read_labels_ras",
    "read_ras",
    "write_datalist",
    "write_phantom",
]
