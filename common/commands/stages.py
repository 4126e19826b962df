"""Commands that run stages of bundles one after the other, and resume where they were stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import common
from common.commands.bundles import find_bundle
from common.files import read_json, write_json


def say(text: str) -> None:
    """Prints at once, also into a pipe."""
    print(text, flush=True)


class Steps:
    """The steps of a command that are done, and how long each took; a finished step is not done again.

    Args:
        path: JSON file that keeps the record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = read_json(path) if path.is_file() else {}

    @contextmanager
    def step(self, name: str, complete: Callable[[], bool] = lambda: True) -> Iterator[bool]:
        """Gives whether the step is to be done; records it when the block has succeeded and `complete` says so."""
        if name in self.seconds:
            say("                done before")
            yield False
            return
        start = time.monotonic()
        yield True
        if not complete():
            return
        self.seconds[name] = round(time.monotonic() - start, 1)
        write_json(self.path, self.seconds)
        say(f"                {self.seconds[name]:.0f} s")


def run_bundle(
    bundle: str,
    config: str,
    output: Path,
    settings: Mapping[str, Any],
    *,
    watch: Callable[[subprocess.Popen], None] | None = None,
    threads: int = 0,
) -> list[str]:
    """Runs a stage of a bundle in a process of its own.

    Args:
        bundle: The bundle's name.
        config: Name of the stage's config without ``.json``.
        output: The stage's ``output_dir``; it also gets ``CONFIG_settings.json``, ``CONFIG_status.json`` and, with all
            that is printed, ``output.txt``.
        settings: Values by id, in place of the config's own.
        watch: Called with the process while it runs.
        threads: Number of CPU threads; 0 leaves it to the environment.

    Returns:
        The warnings of this package, in order.

    Raises:
        FileNotFoundError: If there is no such bundle.
        RuntimeError: If the stage fails, with what went wrong.
        ValueError: If `output` has a # in it, which a config takes for its own.
    """
    if "#" in str(output):
        raise ValueError(f"output_dir must have no # in its path, got {output}.")
    folder = find_bundle(bundle)
    overlay, status = output / f"{config}_settings.json", output / f"{config}_status.json"
    status.unlink(missing_ok=True)
    write_json(overlay, {**settings, "output_dir": str(output)})
    paths = [str(Path(common.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    words = [str(word) for word in (status, folder, config, overlay)]
    printed = output / "output.txt"
    with printed.open("a") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "common.commands.stage_process", *words],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder.parents[1],
        )
        try:
            if watch is not None:
                watch(process)
            process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    found: dict[str, Any] = {"error": f"its process ended with status {process.returncode}", "warnings": []}
    if status.is_file():
        found = read_json(status)
    if found["error"]:
        raise RuntimeError(f"{bundle}, {config}.json: {found['error']}\n(All that it printed is in {printed}.)")
    return list(found["warnings"])


def run_stage(
    steps: Steps,
    bundle: str,
    config: str,
    output: Path,
    settings: Mapping[str, Any],
    what: str,
    *,
    complete: Callable[[], bool] = lambda: True,
    quiet: bool = False,
) -> bool:
    """Runs a stage as a step of a command, named after its folder within the command's folder and its config.

    Args:
        steps: The command's steps.
        bundle, config, output, settings: See :func:`run_bundle`.
        what: What the stage does, for the reader.
        complete: Called after the run; if it is false, the step is left to be done.
        quiet: Keeps the stage's warnings from the reader.

    Returns:
        Whether the step is done.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: See :func:`run_bundle`.
    """
    folder = output.relative_to(steps.path.parent).name
    name = f"{folder} {config}".lstrip()
    say(f"   {folder or config:<18} {what}")
    with steps.step(name, complete) as wanted:
        if wanted:
            for warning in run_bundle(bundle, config, output, settings):
                if not quiet:
                    say(f"                {warning}")
    return name in steps.seconds
