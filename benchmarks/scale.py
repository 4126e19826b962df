"""Measures how opening a cohort, a ledger and drawing batches grow with the number of scans; no image is read.

    python benchmarks/scale.py --scans 10000,100000

Each number of scans is measured in a process of its own, whose peak memory is given with that of an empty process.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import fire
from tables import words

from common.annotations import Ledger, LedgerEntry, TwoStreamSampler
from common.cohort import Cohort, write_datalist

ANNOTATED = 100
BATCHES = 1000


def main(scans: str | Sequence[int] = "10000,100000") -> None:
    """Prints a Markdown table of seconds and megabytes.

    Args:
        scans: Numbers of scans, comma-separated.
    """
    print(f"{date.today().isoformat()}; {ANNOTATED} annotated scans\n")
    print("| scans | open the cohort [s] | open the ledger [s] | batches [ms each] | peak memory [MB] |")
    print("|---|---|---|---|---|")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for number in (0, *map(int, words(scans))):
            seconds, megabytes = pool.apply(_measure, [number])
            print(f"| {number:,} | {' | '.join(f'{value:.3g}' for value in seconds)} | {megabytes:.0f} |")


def _measure(number: int) -> tuple[list[float], float]:
    """Seconds of opening cohort and ledger, milliseconds per batch, and the peak memory in megabytes."""
    seconds = []
    if number:
        with tempfile.TemporaryDirectory() as folder:
            names = [f"scan_{index:06d}" for index in range(number)]
            items = [{"image": f"images/{name}.nii.gz", "label": f"labels/{name}.nii.gz"} for name in names]
            write_datalist(folder, name="many", labels={1: "organ"}, splits={"training": items})
            entries = [LedgerEntry(name, 0, 0, "random", None, None, 1, "oracle") for name in names[:ANNOTATED]]
            Ledger(Path(folder)).add(entries)
            start = time.perf_counter()
            cohort = Cohort.open(folder)
            seconds.append(time.perf_counter() - start)
            start = time.perf_counter()
            ledger = Ledger(Path(folder))
            seconds.append(time.perf_counter() - start)
            sampler = TwoStreamSampler(
                [scan.id for scan in cohort.training], ledger, batch_labelled=2, batch_unlabelled=2, seed=0
            )
            start = time.perf_counter()
            drawn = [sampler.batch(iteration) for iteration in range(BATCHES)]
            seconds.append((time.perf_counter() - start) / len(drawn) * 1000)
    return seconds or [0.0, 0.0, 0.0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    fire.Fire(main)
