"""Commands that run bundles one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

import common
from common.checks import check_settings, explained
from common.files import read_json, write_json


def say(text: str) -> None:
    """Prints at once, also into a pipe."""
    print(text, flush=True)


def find_bundle(name: str) -> Path:
    """The bundle's folder, below the working directory or beside the package ``common``.

    Raises:
        FileNotFoundError: if it is in neither place.
    """
    here = [Path.cwd(), *Path.cwd().parents, Path(common.__file__).resolve().parents[1]]
    for parent in here:
        if (parent / "bundles" / name / "configs" / "train.json").is_file():
            return parent / "bundles" / name
    raise FileNotFoundError(
        f"bundles/{name}: expected below {Path.cwd()} or one of its parents; run this from the repository's folder."
    )


class Steps:
    """Which steps of a command are done, and how long each took; what is done is not done again.

    Args:
        path: JSON file that keeps it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = read_json(path) if path.is_file() else {}

    @contextmanager
    def step(self, name: str) -> Iterator[bool]:
        """Gives whether the step is to be done, and notes it when the block succeeds."""
        if name in self.seconds:
            say("                done before")
            yield False
            return
        start = time.monotonic()
        yield True
        self.seconds[name] = round(time.monotonic() - start, 1)
        write_json(self.path, self.seconds)
        say(f"                {self.seconds[name]:.0f} s")


def run_bundle(
    bundle: Path,
    folder: Path,
    config_files: Sequence[Path],
    arguments: Sequence[object],
    *,
    watch: Callable[[subprocess.Popen], None] | None = None,
    threads: int = 0,
) -> str:
    """One ``python -m monai.bundle run`` in a process of its own.

    Args:
        bundle: its folder.
        folder: gets what is printed, as ``output.txt``.
        config_files: the later ones change the earlier ones.
        arguments: further words of the command line.
        watch: called while it runs.
        threads: of the CPU; by default what the environment says.

    Returns:
        What it printed.

    Raises:
        RuntimeError: if it fails, with what went wrong.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(Path(common.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    files = [str(file) for file in config_files]
    words = ["--bundle_root", bundle, "--config_file", files, *arguments]
    command = [sys.executable, "-m", "monai.bundle", "run", *map(str, words)]
    output = folder / "output.txt"
    with output.open("a") as file:
        start = file.tell()
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=bundle.parents[1]
        )
        try:
            if watch is not None:
                watch(process)
            process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    with output.open(errors="replace") as file:
        file.seek(start)
        printed = file.read()
    if process.returncode:
        raise RuntimeError(
            f"{bundle.name}, {config_files[0].name}: {explained(printed)}\n(All that it printed is in {output}.)"
        )
    return printed


def run_workflow(bundle: Path, config: str, settings: Mapping[str, Any]) -> None:
    """Runs a config of a bundle to its end in this process, which lets settings be objects.

    Args:
        bundle: its folder.
        config: its name without ``.json``.
        settings: by id, in place of the config's own.
    """
    flow = ConfigWorkflow(
        config_file=str(bundle / "configs" / f"{config}.json"),
        workflow_type="train",
        logging_file=str(bundle / "configs" / "logging.conf"),
        bundle_root=str(bundle),
        **settings,
    )
    flow.initialize()
    flow.run()
    flow.finalize()


def config_file(bundle: str, config: str) -> Path:
    """Path of a config of a bundle; both by name.

    Raises:
        FileNotFoundError: if there is no such bundle.
    """
    return find_bundle(bundle) / "configs" / f"{config}.json"


def known_settings(bundle: str, config: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings, by id, that a config of the bundle has: what one stage was given and another needs too."""
    known = read_json(config_file(bundle, config))
    return {key: value for key, value in settings.items() if key.split("#")[0] in known}


def check_stage(bundle: str, config: str, settings: Mapping[str, Any], *, owned: Collection[str] = ()) -> None:
    """Refuses settings, by id, that a config of the bundle does not have, or that are the command's own.

    Args:
        bundle: its name.
        config: its name without ``.json``.
        settings: by id.
        owned: ids that the command itself sets for all stages.

    Raises:
        FileNotFoundError: if there is no such bundle.
        ValueError: naming each, and the nearest ids that there are.
    """
    if twice := [name for name in settings if name in owned]:
        raise ValueError(f"settings of {config}.json must not have {', '.join(twice)}, which the command itself sets.")
    check_settings(settings, read_json(config_file(bundle, config)), where=f"{bundle}/configs/{config}.json")


def run_stage(
    steps: Steps,
    bundle: str,
    config: str,
    output: Path,
    settings: Mapping[str, Any],
    what: str,
    *,
    check: Callable[[], None] | None = None,
    warnings: bool = True,
) -> None:
    """Runs a config of a bundle as a step of a command, named after its folder within the command's and the config.

    Args:
        steps: of the command, kept in its folder.
        bundle: its name.
        config: its name without ``.json``.
        output: ``output_dir`` of the config, the command's folder or one in it; gets ``CONFIG_settings.json`` too.
        settings: by id, in place of the config's own.
        what: the stage does, for the reader.
        check: called when it has run; what it raises leaves the step undone.
        warnings: whether this package's warnings within it are passed on.

    Raises:
        FileNotFoundError: if there is no such bundle.
        RuntimeError: if it fails, with what went wrong.
        ValueError: if `output` has a # in it, which a config takes for its own.
    """
    if "#" in str(output):
        raise ValueError(f"output_dir must have no # in its path, got {output}.")
    folder = output.relative_to(steps.path.parent).name
    say(f"   {folder or config:<18} {what}")
    with steps.step(f"{folder} {config}".lstrip()) as wanted:
        if wanted:
            overlay = output / f"{config}_settings.json"
            output.mkdir(parents=True, exist_ok=True)
            write_json(overlay, {**settings, "output_dir": str(output)})
            printed = run_bundle(find_bundle(bundle), output, [config_file(bundle, config), overlay], [])
            if check is not None:
                check()
            for warning in re.findall(r"(?m) - common[.\w]* - WARNING - (.+)", printed) if warnings else ():
                say(f"                {warning}")
