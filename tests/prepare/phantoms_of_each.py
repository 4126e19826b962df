"""Opens a cohort of phantoms in each of several processes: ``torchrun … -m tests.prepare.phantoms_of_each FOLDER``.

Leaves in FOLDER a file for each scan that a process writes, and what each process has found in the end.
"""

import json
import sys
from pathlib import Path

import ignite.distributed as idist

from common.engines import end_processes, start_processes
from common.prepare import open_cohort, phantom


def main(folder):
    rank, write = start_processes("cpu", timeout_minutes=1), phantom._write_scan

    def noted(target, item, shape, seed, number, domain):
        (folder / f"scan_{number}_by_{idist.get_rank()}").touch()
        write(target, item, shape, seed, number, domain)

    phantom._write_scan = noted
    cohort = open_cohort(None, phantom_dir=folder / "phantom", scans=6, size=24, seed=3)
    found = {split: [scan.id for scan in getattr(cohort, split)] for split in ("training", "validation", "test")}
    (folder / f"found_by_{rank}.json").write_text(json.dumps(found))
    end_processes()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
