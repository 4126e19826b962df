"""Studies of phantoms, and servers for them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from common.cohort.volumes import read_voxels
from common.prepare import write_phantom

pytest.importorskip("monailabel", reason="MONAI Label is not installed; `nox -s label_tests` installs it")

from label_server import Server


@dataclass(frozen=True)
class PhantomStudy:
    """A study whose labels are known.

    Attributes:
        folder: Folder of its images.
        labels: File of each scan's label, by its id.
        held_out: Image and label of scans that are not in the study.
    """

    folder: Path
    labels: dict[str, Path]
    held_out: tuple[tuple[Path, Path], ...]

    @property
    def run(self) -> Path:
        """The run folder of the first bundle."""
        return self.folder / "runs" / "fmabs_la"

    def reference(self, scan: str) -> tuple[np.ndarray, np.ndarray]:
        """The label of a scan on the grid of its file, and the affine."""
        voxels, image = read_voxels(self.labels[scan])
        return np.asarray(voxels), image.affine


def dice(mask: np.ndarray, reference: np.ndarray) -> float:
    """Dice of two masks."""
    mask, reference = mask > 0, reference > 0
    return float(2 * (mask & reference).sum() / max(mask.sum() + reference.sum(), 1))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    """Eight phantoms in different orientations, and three more that are held out."""
    cohort = write_phantom(tmp_path_factory.mktemp("cohort"), scans=11, size=32, validation=2, test=1)
    folder = tmp_path_factory.mktemp("study")
    for scan in cohort.training:
        shutil.copy(scan.image, folder)
    labels = {scan.id: scan.label for scan in cohort.training if scan.label}
    held_out = tuple((scan.image, scan.label) for scan in cohort.scans[8:] if scan.label)
    return PhantomStudy(folder, labels, held_out)


@pytest.fixture(scope="module")
def server(study: PhantomStudy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the study."""
    started = Server(study.folder, tmp_path_factory.mktemp("server") / "server.log", models="fmabs_la")
    try:
        yield started.start()
    finally:
        started.stop()
