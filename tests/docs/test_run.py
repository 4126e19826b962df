"""The blocks of the pages that say nothing else are run as they stand, one after the other, in a folder of their own.

The folder has what stands for the reader's own in capital letters:

- ``SCANS`` and ``LABELS``: five phantoms of 32 voxels along each axis;
- ``SETTINGS.json``: settings that are small enough for a test;
- ``bundles``: a link to the repository's.

Where a block asks people to draw, the phantoms' labels are put into the files that it names before the next is run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from common.cohort import Cohort
from common.prepare import write_phantom
from tests.bundles.workflows import ROOT
from tests.docs.pages import RUN, blocks

SETTINGS = {"roi_size": [32, 32, 32], "network_def#width": 4, "max_iterations": 10, "val_interval": 5}
SETTINGS |= {"budget": 2, "initial_share": 1.0, "pseudo_label_rounds": 1, "propagate": False}

EXPECTED = {
    "docs/first_hour.md": ["COHORT/datalist.json", "RUN/model.pt", "RUN/evaluation/metrics.csv", "RUN/report.html"],
    "docs/own_scans.md": ["COHORT/plan.json", "RUN/requests/round_00.json", "RUN/ledger.json", "RUN/model.pt"],
}
"""Files that are there at the end of each page."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the reader has."""
    write_phantom(tmp_path / "phantoms", scans=5, size=32, seed=0)
    for name, source in (("SCANS", "images"), ("LABELS", "labels")):
        shutil.move(tmp_path / "phantoms" / source, tmp_path / name)
    (tmp_path / "SETTINGS.json").write_text(json.dumps(SETTINGS))
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")
    return tmp_path


def draw(folder: Path) -> None:
    """Annotates all scans that are asked for, in full."""
    for template in (folder / "RUN" / "requests").glob("round_*/*.nii.gz"):
        (scan,) = (scan for scan in Cohort.open(folder / "COHORT").training if f"{scan.id}.nii.gz" == template.name)
        assert scan.label is not None
        shutil.copy(scan.label, template)


def run(block: str, folder: Path) -> str:
    """Runs a block of commands with this Python, and returns what it printed."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    words = ["bash", "-euo", "pipefail", "-c", block]
    done = subprocess.run(words, cwd=folder, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, f"{block}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_a_page_from_top_to_bottom(page: str, folder: Path) -> None:
    printed = []
    for block in blocks(page):
        if block.marker is None:
            draw(folder)
            printed.append(run(block.text, folder))
    assert len(printed) >= 3
    missing = [name for name in EXPECTED[page] if not (folder / name).is_file()]
    assert not missing, printed[-1]
    if page == "docs/first_hour.md":
        assert len(list((folder / "RUN" / "predictions").glob("*.nii.gz"))) == 8
    else:
        assert "Please draw" in printed[2] and "Please draw" not in printed[3]
