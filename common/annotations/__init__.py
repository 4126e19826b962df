"""What people and models have drawn on scans: annotators, the store and the ledger, and batches drawn by them."""

from common.annotations.annotation import Annotation, Annotator, Suggestions
from common.annotations.cross_label import cross_label, middle_slices
from common.annotations.dense import annotate_densely, first_labelled
from common.annotations.folder import AnnotationsPending, FolderAnnotator
from common.annotations.ledger import Ledger, LedgerEntry
from common.annotations.load import LoadAnnotationsd
from common.annotations.oracle import OracleAnnotator
from common.annotations.record import annotate_and_record
from common.annotations.scan_dataset import ScanDataset
from common.annotations.store import AnnotationStore
from common.annotations.streams import TwoStreamSampler
from common.annotations.trust import ScanTrust, TrustEntry

__all__ = [
    "Annotation",
    "AnnotationStore",
    "AnnotationsPending",
    "Annotator",
    "FolderAnnotator",
    "Ledger",
    "LedgerEntry",
    "LoadAnnotationsd",
    "OracleAnnotator",
    "ScanDataset",
    "ScanTrust",
    "Suggestions",
    "TrustEntry",
    "TwoStreamSampler",
    "annotate_and_record",
    "annotate_densely",
    "cross_label",
    "first_labelled",
    "middle_slices",
]
