"""What has been asked of the annotators: for each scan the slices to annotate, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from common.cohort.volumes import VIEWS
from common.files import read_json, write_json


@dataclass(frozen=True)
class Request:
    """What is asked for one scan.

    Attributes:
        slices: Slice to annotate in each view, as an index of the scan's RAS grid.
        strategy: Name of the strategy that chose the scan, "by_hand" if a person did.
        score: The strategy's score, if it gave one.
        reason: Why this scan, in words.
    """

    slices: dict[str, int]
    strategy: str = "by_hand"
    score: float | None = None
    reason: str = "It was opened by hand."


class Requests:
    """The requests of a run, in the file ``label_requests.json`` of its folder.

    Args:
        run: Folder of the run.
    """

    def __init__(self, run: str | Path) -> None:
        self.path = Path(run) / "label_requests.json"

    def get(self, scan: str) -> Request | None:
        """What was asked last for a scan; None if nothing was.

        Raises:
            ValueError: If the file is damaged.
        """
        found = self._read().get(scan)
        return None if found is None else Request(**found)

    def put(self, scan: str, request: Request) -> None:
        """Records what is asked for a scan, in place of what was asked before."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.path.name}.lock")):
            write_json(self.path, self._read() | {scan: asdict(request)})

    def _read(self) -> dict[str, dict]:
        if not self.path.is_file():
            return {}
        content = read_json(self.path)
        if not isinstance(content, dict):
            raise ValueError(f"{self.path}: expected requests by scan, found {type(content).__name__}; delete it.")
        return content


def all_views(slices: Mapping[str, int], shape: tuple[int, ...]) -> dict[str, int]:
    """One slice per view: the given ones, and the middle of the scan in views that have none.

    Args:
        slices: Slice of some of the views.
        shape: Shape of the scan's RAS grid.

    Example:
        >>> all_views({"axial": 3}, (20, 30, 40))
        {'axial': 3, 'coronal': 15, 'sagittal': 10}
    """
    return {view: int(slices.get(view, shape[axis] // 2)) for view, axis in VIEWS.items()}
