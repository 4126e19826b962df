"""Times how long a training takes to its first iteration, and inference of one scan with the bundle's own model.

    python benchmarks/start.py [--image SCAN.nii.gz] [--bundle fmabs_la]

The training starts twice in the same new folder: first it writes its phantoms, then they are there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fire

from common.commands.bundles import find_bundle

SMALL = ("--roi_size", "[48,48,48]", "--network_def#width", "8", "--max_iterations", "200")
"""Sizes with which an iteration itself takes a second on a CPU, and a single epoch, for the words that are printed."""


def main(image: str | None = None, bundle: str = "fmabs_la", threads: int = 2) -> None:
    """Prints seconds, the start of Python included.

    Args:
        image: NIfTI file of a scan; without one, only the training is timed.
        bundle: Name of the bundle.
        threads: Number of CPU threads.
    """
    configs = find_bundle(bundle) / "configs"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory() as folder:
        for what in ("training, with writing of its phantoms", "training, with its phantoms there"):
            words = [*_run("training", configs / "train.json"), *SMALL, "--output_dir", f"{folder}/run"]
            start = time.perf_counter()
            process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
            _wait_for(process, b"Iteration: [1/")
            print(f"{what}: first iteration after {time.perf_counter() - start:.1f} s", flush=True)
            process.kill()
            process.wait()
        if image:
            scans = Path(folder, "scans")
            scans.mkdir()
            (scans / Path(image).name).symlink_to(Path(image).resolve())
            words = [*_run("inference", configs / "inference.json"), "--dataset_dir", str(scans)]
            start = time.perf_counter()
            subprocess.run([*words, "--output_dir", f"{folder}/none"], check=True, capture_output=True, env=environment)
            print(f"inference of one scan: {time.perf_counter() - start:.1f} s", flush=True)


def _run(workflow: str, config: Path) -> list[str]:
    return [sys.executable, "-m", "monai.bundle", "run", workflow, "--config_file", str(config)]


def _wait_for(process: subprocess.Popen[bytes], words: bytes) -> None:
    """Reads what a process prints until some words come.

    Raises:
        RuntimeError: If the process ends before, with the end of what it has printed.
    """
    printed = b""
    while words not in printed:
        if process.stdout is None or not (found := process.stdout.read1()):
            raise RuntimeError(f"expected {words!r}, found the end of the process: {printed[-500:].decode()}")
        printed += found


if __name__ == "__main__":
    fire.Fire(main)
