"""Kills runs again and again until they end, and compares them with runs that nobody killed.

    python benchmarks/kill_test.py --kills 1000 --output_dir FOLDER

A run is killed by SIGKILL at a random moment, or right before or after one of its files is moved into its place
(``os.replace``), and started again by the same command. After every kill all files of the run are opened and its ledger
is compared with the former one; at the end, networks, ledger and log are compared with those of the run that was never
killed. The methods are FM-ABS, whose annotator is the oracle or a person who draws in a folder, SFR in its three
stages, and ASSFT; all are at the size of seconds, on phantoms.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import fire
import nibabel as nib
import numpy as np
import torch
from small_runs import METHODS, Method

from common import IGNORE_INDEX
from common.cohort import Cohort
from common.cohort.volumes import read_voxels
from common.files import read_json, write_nifti
from common.handlers import read_log
from common.prepare import write_phantom


@dataclass(frozen=True)
class Kill:
    """When a process is killed.

    Attributes:
        seconds: Time after its start.
        replacement: The number of the move of a file into its place, from 1, at which it kills itself, whatever the
            time; None for the time.
        after: Whether it kills itself after the move.
    """

    seconds: float
    replacement: int | None = None
    after: bool = False


class Kills:
    """Chooses the kills of a method's runs at random, and counts them.

    Args:
        number: Number of kills.
        chance: Where the random moments come from.
        seconds: Time that a run takes which nobody kills.
        replacements: Number of files that such a run moves into their places.

    Attributes:
        done: The kills so far.
    """

    def __init__(self, number: int, chance: random.Random, *, seconds: float, replacements: int) -> None:
        self.number = number
        self.chance = chance
        self.seconds = seconds
        self.replacements = replacements
        self.done: list[Kill] = []

    def next(self) -> Kill | None:
        """The next kill; None if there were enough."""
        if len(self.done) >= self.number:
            return None
        if self.chance.random() < 0.5:
            return Kill(self.chance.uniform(0.2, 1.0) * self.seconds)
        place = self.chance.randint(1, max(1, self.replacements // 3))
        return Kill(10 * self.seconds, place, after=self.chance.random() < 0.5)


def main(
    kills: int = 1000,
    output_dir: str = "runs/kill_test",
    methods: str = ",".join(METHODS),
    seed: int = 0,
) -> None:
    """Prints the counts, and ends with an error at the first failure, whose folder is left for a look.

    Args:
        kills: Number of kills in all; they are shared among the methods.
        output_dir: Folder of all runs; it must not exist.
        methods: Methods to kill, comma-separated, of `fmabs_oracle`, `fmabs_folder`, `sfr` and `assft`.
        seed: Seed of the moments.
    """
    torch.set_num_threads(1)
    names = list(methods) if isinstance(methods, (list, tuple)) else methods.split(",")
    folder = Path(output_dir).resolve()
    folder.mkdir(parents=True)
    chance, counts = random.Random(seed), Counter[str]()
    for number, name in enumerate(names):
        wanted = kills * (number + 1) // len(names) - kills * number // len(names)
        kill_method(METHODS[name], folder / name, wanted, chance, counts)
        print(f"{name}: {wanted} kills", flush=True)
    print(
        f"{date.today().isoformat()}, seed {seed}: {counts['kills']} kills, of which {counts['before']} right before "
        f"and {counts['after']} right after a file was moved into its place, in {counts['runs']} runs that ended as "
        f"the runs that nobody killed; {counts['files']} files opened; no failure."
    )


def kill_method(method: Method, folder: Path, wanted: int, chance: random.Random, counts: Counter[str]) -> None:
    """Kills runs of one method until there were enough kills, and lets the last one end."""
    cohort, whole = folder / "cohort", folder / "whole"
    in_a_process(lambda: write_phantom(cohort, scans=6, size=32, seed=0))
    start = time.monotonic()
    replacements = to_the_end(method, cohort, whole)
    kills = Kills(wanted, chance, seconds=time.monotonic() - start, replacements=replacements)
    while len(kills.done) < wanted:
        output = folder / f"run_{counts['runs']:03d}"
        to_the_end(method, cohort, output, kills, counts)
        compare(whole, output)
        shutil.rmtree(output)
        counts["runs"] += 1
    counts["kills"] += wanted
    counts["before"] += sum(kill.replacement is not None and not kill.after for kill in kills.done)
    counts["after"] += sum(kill.after for kill in kills.done)


def to_the_end(
    method: Method, cohort: Path, output: Path, kills: Kills | None = None, counts: Counter[str] | None = None
) -> int:
    """Starts a run until it ends by itself with nothing left to draw.

    Returns:
        How many files its last start moved into their places.
    """
    former: dict[str, list[Any]] = {}
    while True:
        kill = None if kills is None else kills.next()
        died, replacements = in_a_process(lambda: method.run(cohort, output), kill, output.parent / "output.txt")
        if died and kills is not None and counts is not None and kill is not None:
            kills.done.append(kill)
            counts["files"] += open_all(output)
        former = check_ledgers(output, former)
        if not died and not (method.draws and draw(cohort, output)):
            return replacements


def in_a_process(work: Callable[[], None], kill: Kill | None = None, printed: Path | None = None) -> tuple[bool, int]:
    """Works in a copy of this process, which may be killed.

    Returns:
        Whether it was killed, and the number of files that it moved into their places.

    Raises:
        RuntimeError: If it fails.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        code = 1
        try:
            if printed is not None:
                file = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(file, 1)
                os.dup2(file, 2)
            count_replacements(writer, kill)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(writer)
    end = None if kill is None else time.monotonic() + kill.seconds
    status = None
    while status is None:
        found, code = os.waitpid(child, os.WNOHANG if end is not None else 0)
        if found:
            status = code
        elif end is not None and time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            end = None
        else:
            time.sleep(0.005)
    with os.fdopen(reader, "rb") as pipe:
        replacements = len(pipe.read())
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True, replacements
    if status != 0:
        raise RuntimeError(f"the run failed; what it printed is in {printed}.")
    return False, replacements


def count_replacements(pipe: int, kill: Kill | None) -> None:
    """Counts this process's moves of files into their places, and kills it at one of them."""
    replace, count = os.replace, 0
    place = None if kill is None else (kill.replacement, kill.after)

    def counted(*arguments: Any, **keywords: Any) -> None:
        nonlocal count
        count += 1
        if place == (count, False):
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*arguments, **keywords)
        os.write(pipe, b".")
        if place == (count, True):
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = counted


def open_all(output: Path) -> int:
    """Opens all files of a run; any that is damaged is an error.

    Returns:
        Their number.
    """
    number = 0
    for path in sorted(output.rglob("*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        if path.suffix == ".json":
            read_json(path)
        elif path.name == "log.jsonl":
            read_log(path)
        elif path.suffix == ".jsonl":
            for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
                if line.endswith("\n"):
                    json.loads(line)
        elif path.suffix == ".pt":
            torch.load(path, weights_only=True)
        elif ".nii" in path.name:
            np.asarray(nib.load(path).dataobj)
        number += 1
    return number


def check_ledgers(output: Path, former: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Compares each ledger of a run with what it was; an entry that is lost, changed or double is an error."""
    found = {str(path): read_json(path)["entries"] for path in sorted(output.rglob("ledger.json"))}
    for path, entries in former.items():
        if found.get(path, [])[: len(entries)] != entries:
            raise RuntimeError(f"{path}: expected to begin with {entries}, found {found.get(path)}.")
    for path, entries in found.items():
        if len({entry["scan"] for entry in entries}) < len(entries):
            raise RuntimeError(f"{path}: expected each scan once, found {entries}.")
    return found


def draw(cohort: Path, output: Path) -> bool:
    """Draws every slice that is requested and not drawn yet, as a person would; whether there was any."""
    labels = {scan.id: scan.label for scan in Cohort.open(cohort).training}
    drawn = False
    for request in sorted((output / "requests").glob("round_*.json")):
        for scan in read_json(request)["scans"]:
            path = Path(scan["draw_in"])
            voxels, template = read_voxels(path)
            if (np.asarray(voxels) != IGNORE_INDEX).any():
                continue
            truth = np.asarray(read_voxels(labels[scan["scan"]])[0]).astype(np.uint8)
            annotation = np.full_like(truth, IGNORE_INDEX)
            for item in scan["slices"]:
                planes = [item["file_index"], *np.flatnonzero(truth.any(axis=_others(item["file_axis"])))[:1]]
                for index in planes:  # the requested slice, and one that shows the organ for certain
                    plane = tuple(index if axis == item["file_axis"] else slice(None) for axis in range(3))
                    annotation[plane] = truth[plane]
            write_nifti(path, annotation, template.affine)
            drawn = True
    return drawn


def _others(axis: int) -> tuple[int, ...]:
    return tuple(other for other in range(3) if other != axis)


def compare(whole: Path, output: Path) -> None:
    """Compares a run with the one that nobody killed.

    Raises:
        RuntimeError: Naming what differs.
    """
    for path in sorted(whole.rglob("*")):
        other = output / path.relative_to(whole)
        if path.name == "ledger.json":
            same = _entries(path) == _entries(other)
        elif path.name == "log.jsonl":
            same = path.read_text() == other.read_text()
        elif path.suffix == ".pt":
            same = _same(*(torch.load(file, weights_only=True) for file in (path, other)))
        elif ".nii" in path.name:
            same = np.array_equal(*(np.asarray(nib.load(file).dataobj) for file in (path, other)))
        else:
            continue
        if not same:
            raise RuntimeError(f"{other}: expected what {path} holds, found something else.")
    left = [str(path) for path in output.rglob(".*.*.*") if path.is_file()]
    if left:
        raise RuntimeError(f"expected no temporary files at the end, found {', '.join(left)}.")


def _entries(ledger: Path) -> list[dict[str, Any]]:
    """A ledger's entries without the time of day."""
    return [{key: value for key, value in entry.items() if key != "time"} for entry in read_json(ledger)["entries"]]


def _same(one: Any, other: Any) -> bool:
    """Whether nested dictionaries and lists of tensors and numbers are equal, their paths aside."""
    if isinstance(one, torch.Tensor):
        return bool(torch.equal(one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    return json.dumps(one) == json.dumps(other)


if __name__ == "__main__":
    fire.Fire(main)
