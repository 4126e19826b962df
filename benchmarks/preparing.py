"""Times ``prepare folder`` with one thread and with two, and ``plan`` on a large cohort.

    python benchmarks/preparing.py --scans 200 --converted 40

The scans are made up, of left-atrium size; a few are different and the others links to the same files. Each command
runs in a process of its own, whose start counts, and which may take the processors that nothing else uses.
"""

from __future__ import annotations

from pathlib import Path

import fire
from report_page import timed, write_cohort


def main(
    scans: int = 200,
    converted: int = 40,
    size: tuple[int, int, int] = (272, 208, 88),
    threads: int = 2,
    repeats: int = 3,
    seed: int = 0,
    output_dir: str = "runs/preparing",
) -> None:
    """Prints the seconds of each command by the clock and of the processors, and how much faster threads are.

    Args:
        scans: Number of training scans of the cohort that is planned.
        converted: Number of scans that are prepared.
        size: Number of voxels along each axis.
        threads: Number of threads that is compared with one.
        repeats: Times that the scans are prepared with each number of threads, in turn; the fastest counts.
        seed: Seed of the scans.
        output_dir: Folder that gets everything; each conversion must be new, so it must not exist.

    Raises:
        ValueError: If the folder exists.
    """
    folder = Path(output_dir)
    if folder.exists():
        raise ValueError(f"output_dir must be a folder that does not exist yet, got {folder}.")
    write_cohort(folder / "planned", (scans + 1) // 2, size, seed)
    write_cohort(folder / "source", (converted + 1) // 2, size, seed)
    taken: dict[int, list[float]] = {1: [], threads: []}
    for number in range(repeats):
        for count, seconds in taken.items():
            seconds.append(prepare(folder / "source", folder / f"prepared_{count}_{number}", converted, count))
    print(f"prepare: {min(taken[1]) / min(taken[threads]):.2f} times as fast with {threads} threads as with one.")
    cohort = folder / "cohort"
    prepare(folder / "planned", cohort, scans, threads)
    told(["plan", "--dataset_dir", str(cohort), "--device", "cpu"], threads, f"plan, {scans} scans")


def prepare(source: Path, target: Path, scans: int, threads: int) -> float:
    """Converts made-up scans; returns the seconds by the clock."""
    words = ["prepare", "folder", str(source / "image"), str(target), "--labels", str(source / "label")]
    return told(words, threads, f"prepare, {scans} scans, {threads} threads")


def told(words: list[str], threads: int, what: str) -> float:
    """Runs a command of the package; returns its seconds by the clock, and prints them."""
    _, seconds, used = timed(words, threads=threads)
    print(f"{what}: {seconds:.1f} s, {used:.1f} s of the processors", flush=True)
    return seconds


if __name__ == "__main__":
    fire.Fire(main)
