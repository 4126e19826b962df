"""What people and models have drawn on scans: annotators, the store and the ledger, and batches drawn by them."""

from common.annotations.annotation import Annotation, Annotator, Suggestions
from common.annotations.at_start import annotate_at_start, first_labelled
from common.annotations.cross_label import complete_slices, cross_label, middle_slices
from common.annotations.datalist import DatalistAnnotator
from common.annotations.folder import AnnotationsPending, FolderAnnotator
from common.annotations.ledger import Ledger, LedgerEntry
from common.annotations.listed import check_annotations, listed_scans
from common.annotations.load import LoadAnnotationsd
from common.annotations.oracle import OracleAnnotator
from common.annotations.record import annotate_and_record
from common.annotations.scan_dataset import ScanDataset
from common.annotations.segments import NothingAnnotated, annotation_from_segments
from common.annotations.store import AnnotationStore
from common.annotations.streams import TwoStreamSampler
from common.annotations.submission import submit_annotation
from common.annotations.trust import ScanTrust, TrustEntry

__all__ = [
    "Annotation",
    "AnnotationStore",
    "AnnotationsPending",
    "Annotator",
    "DatalistAnnotator",
    "FolderAnnotator",
    "Ledger",
    "LedgerEntry",
    "LoadAnnotationsd",
    "NothingAnnotated",
    "OracleAnnotator",
    "ScanDataset",
    "ScanTrust",
    "Suggestions",
    "TrustEntry",
    "TwoStreamSampler",
    "annotate_and_record",
    "annotate_at_start",
    "annotation_from_segments",
    "check_annotations",
    "complete_slices",
    "cross_label",
    "first_labelled",
    "listed_scans",
    "middle_slices",
    "submit_annotation",
]
