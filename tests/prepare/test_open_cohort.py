"""The user's cohort, or phantoms."""

import json
import subprocess
import sys

from common.prepare import write_phantom
from tests.bundles.workflows import ROOT


def test_of_two_processes_the_first_one_writes_the_phantoms(tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*launch, "-m", "tests.prepare.phantoms_of_each", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(path.name for path in tmp_path.glob("scan_*")) == [f"scan_{number}_by_0" for number in range(6)]
    alone = write_phantom(tmp_path / "alone", 6, 24, 3)
    for rank in range(2):
        found = json.loads((tmp_path / f"found_by_{rank}.json").read_text())
        assert found == {
            split: [scan.id for scan in getattr(alone, split)] for split in ("training", "validation", "test")
        }
    for scan in (tmp_path / "alone").rglob("*.nii.gz"):
        assert scan.read_bytes() == (tmp_path / "phantom" / scan.relative_to(tmp_path / "alone")).read_bytes()
