"""Compares two processes of one thread each with one process of two threads: seconds per scan, after the start.

    python benchmarks/several_processes.py compare [--repeats 5] [--steps 15] [--side 48]

Both train the bundle `fmabs_la` on the same phantoms with the same batches, on the CPU and by turns, each time anew.
An iteration is timed from the end of the one before, so that waiting for data and for the other process is in it; the
first iterations are left out, and there are no rounds or validations among the timed ones. It needs two cores with
nothing else to do: where the threads of one process wait for each other's turn, that process takes several times as
long.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import fire
import ignite.distributed as idist
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from common.commands.bundles import find_bundle
from common.files import read_json, write_json
from common.prepare import write_phantom

BUNDLE = "fmabs_la"
LEFT_OUT = 3
"""Number of iterations at the beginning that are not timed."""

SETTINGS = {"device": "cpu", "network_def#width": 8, "budget": 6}
"""A small network, and as many annotations as twelve phantoms allow."""

WAYS = {"one process, two threads": (1, 2), "two processes, one thread each": (2, 1)}
"""Numbers of processes, and of threads of each."""


def compare(repeats: int = 5, steps: int = 15, side: int = 48) -> None:
    """Prints a Markdown table of seconds per scan, and the ratios.

    Args:
        repeats: Number of times that each of the two trains.
        steps: Number of timed iterations of a training.
        side: Length of a patch along each axis, in voxels.
    """
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        write_phantom(f"{folder}/cohort")
        for repeat in range(repeats):
            for way, (processes, threads) in WAYS.items():
                run = f"{folder}/{processes}_{repeat}"
                settings = SETTINGS | {"dataset_dir": f"{folder}/cohort", "output_dir": run, "roi_size": [side] * 3}
                seconds[way] += _seconds(settings, processes, threads, steps, Path(folder, "seconds.json"))
    print(f"{date.today().isoformat()}; {BUNDLE}, {repeats} x {steps} iterations each\n")
    print("| | fastest [s per scan] | median [s per scan] |\n|---|---|---|")
    for way, found in seconds.items():
        print(f"| {way} | {min(found):.3f} | {statistics.median(found):.3f} |")
    one, two = seconds.values()
    print(f"\nratio of the fastest {min(two) / min(one):.2f}, of the medians ", end="")
    print(f"{statistics.median(two) / statistics.median(one):.2f}")


def work(settings: dict[str, Any], steps: int, file: str) -> None:
    """Trains in this process, of which there may be several; the first one writes the seconds per scan.

    Args:
        settings: Settings of the training.
        steps: Number of iterations to time.
        file: File that gets the seconds, a JSON list.
    """
    configs = find_bundle(BUNDLE) / "configs"
    names = ["train", "multi_gpu_train"] if "LOCAL_RANK" in os.environ else ["train"]
    flow = ConfigWorkflow(
        config_file=[str(configs / f"{name}.json") for name in names],
        workflow_type="train",
        logging_file=str(configs / "logging.conf"),
        bundle_root=str(configs.parent),
        **settings,
    )
    flow.initialize()
    trainer = flow.parser.get_parsed_content("train#trainer")
    batch = sum(flow.parser.get_parsed_content(name) for name in ("batch_labelled", "batch_unlabelled"))
    times: list[float] = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: times.append(time.perf_counter()))
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=LEFT_OUT + steps), trainer.terminate)
    flow.run()
    if idist.get_rank() == 0:
        ends = times[LEFT_OUT - 1 :]
        write_json(file, [(end - begin) / batch for begin, end in itertools.pairwise(ends)])
    flow.finalize()


def _seconds(settings: dict[str, Any], processes: int, threads: int, steps: int, file: Path) -> list[float]:
    """Seconds per scan of each timed iteration of a training."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    words = ["work", json.dumps(settings), str(steps), str(file)]
    done = subprocess.run(
        [sys.executable, *launch, __file__, *words],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{processes} processes: expected a training, found an error: {done.stderr[-2000:]}")
    return read_json(file)


if __name__ == "__main__":
    fire.Fire({"compare": compare, "work": work})
