"""Plays somebody who downloads the bundles: ``python tests/collaborator.py [--dist dist] [--bundles NAME …]``.

Packs the bundles, or takes what ``python -m common pack all`` made. For each bundle it makes a virtual environment of
the packages that the bundle's ``metadata.json`` names and no others, downloads the zip from a server on this computer,
and runs the bundle from inside its folder, from elsewhere, and with the wheel in place of the bundle's own ``common``.
It prints each check and, at the end, how many passed; it ends with status 1 if any failed. It needs nothing but Python
and git, on Linux or macOS.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import venv
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
"""The repository's folder."""

UNET = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": "@channels",
    "out_channels": "@num_classes",
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
}
FEW = {"max_iterations": 4, "val_interval": 2, "precision": "fp32"}
ROUNDS = {
    "budget": 2,
    "initial_share": 0.5,
    "per_round": 1,
    "query_span": [0.5, 0.75],
    "pseudo_label_span": [0.5, 0.75],
    "pseudo_label_rounds": 1,
}
SMALL: dict[str, dict[str, Any]] = {
    "fmabs_la": {"roi_size": [32, 32, 32], "network_def#width": 2},
    "fmabs_brats": {"roi_size": [32, 32, 32], "network_def#width": 2},
    "sfr_retrain": {"roi_size": [32, 32, 32], "network_def#width": 2},
    "sfr_stitch_finetune": {"roi_size": [32, 32, 16], "image_size": 128},
    "assft_adapt": {"roi_size": [32, 32, 32], "stride": [32, 32, 32], "network_def": UNET},
}
"""Settings of all stages with which they take seconds."""

STAGES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "fmabs_la": [("train", FEW | ROUNDS)],
    "fmabs_brats": [("train", FEW | ROUNDS)],
    "sfr_retrain": [("train", FEW | {"labelled": 1})],
    "sfr_stitch_finetune": [("train", FEW | {"labelled": 1})],
    "assft_adapt": [
        ("pretrain", FEW | {"dataset_dir": None, "warm_up": 1, "phantom_scans": 3, "phantom_size": 32}),
        ("train", FEW | {"budget": 2, "first_round": 2, "round_interval": 2, "warm_up": 2, "encoder": "model.0"}),
    ],
}
"""The stages of a training, with settings of their own."""

PHANTOM = (
    "from common.prepare import write_phantom; write_phantom({!r}, scans=5, size=32, seed=0, validation=1, test=1)"
)
GITHUB = (
    "from monai.bundle import load, scripts; "
    "scripts._get_git_release_url = lambda owner, name, tag_name, filename: {address!r} + '/' + filename; "
    "found = dict(name={name!r}, version={version!r}, bundle_dir={folder!r}, source='github', device='cpu'); "
    "[load(**found, repo='owner/name/v{version}', workflow_type=workflow) for workflow in ('train', 'inference')]"
)
"""MONAI's ``load``, which first downloads from GitHub, with a server on this computer in GitHub's place."""

REMEDY = "label-efficient-bundles"
"""The distribution's name, which the message must have where there is no ``common`` at all."""


class Failed(Exception):
    """A check that failed, with what was found."""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and prints nothing."""

    def log_message(self, *arguments: Any) -> None:
        """Prints nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serves a folder on this computer; gives the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Environments:
    """Virtual environments of exactly the packages asked for; those of torch, MONAI and NumPy are shared.

    Args:
        folder: Folder that gets them, and is reused.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.Lock()

    def python(self, metadata: dict[str, Any]) -> Path:
        """The Python of an environment with the packages that a bundle's metadata name."""
        wanted = [f"{name}=={version}" for name, version in sorted(metadata["required_packages_version"].items())]
        with self.lock:
            return self._make("bundle", wanted, self._base(metadata))

    def packer(self, root: Path) -> Path:
        """The Python of an environment in which the repository's bundles can be packed."""
        metadata = json.loads(next(root.glob("bundles/*/configs/metadata.json")).read_text(encoding="utf-8"))
        wanted = ["--constraint", str(root / "constraints.txt"), "--editable", f"{root}[pack]"]
        versions = [(root / name).read_text(encoding="utf-8") for name in ("constraints.txt", "setup.cfg")]
        with self.lock:
            return self._make("packer", wanted, self._base(metadata), *versions)

    def _base(self, metadata: dict[str, Any]) -> list[str]:
        names = {"torch": "pytorch_version", "monai": "monai_version", "numpy": "numpy_version"}
        python = self._make("base", [f"{name}=={metadata[key]}" for name, key in names.items()], [])
        return [str(path) for path in python.parents[1].glob("lib/*/site-packages")]

    def _make(self, kind: str, wanted: list[str], paths: list[str], *reasons: str) -> Path:
        """Makes an environment unless it is there from the same packages, paths, and reasons to make another."""
        name = hashlib.sha256(" ".join([*wanted, *paths, *reasons]).encode()).hexdigest()[:8]
        folder = self.folder / f"{kind}_{name}"
        python = folder / "bin" / "python"
        if not (folder / "complete").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True)
            for site in folder.glob("lib/*/site-packages"):
                (site / "base.pth").write_text("\n".join(paths))
            done = run([python, "-m", "pip", "install", "--quiet", *wanted], folder, folder / "pip.txt")
            if done.returncode:
                raise Failed(f"pip could not install {' '.join(wanted)}, see {folder / 'pip.txt'}")
            (folder / "complete").touch()
        return python


def run(command: list[Any], cwd: Path, log: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a clean environment of one thread; all that it prints goes to a file, too."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "NOX"))}
    kept |= {"OMP_NUM_THREADS": "1", "no_proxy": "127.0.0.1"} | environment
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env=kept, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"{words}\nin {cwd}\n\n{done.stdout}", encoding="utf-8")
    return done


class Collaborator:
    """One bundle as its user meets it.

    Args:
        archive: The bundle's zip.
        wheel: The package's wheel.
        address: Address of the server that has both.
        folder: Folder for everything that is made; it must be empty.
        cohort: Folder of the scans, which one of the collaborators makes for all.
        environments: Where the packages come from.
    """

    def __init__(
        self, archive: Path, wheel: Path, address: str, folder: Path, cohort: Path, environments: Environments
    ) -> None:
        self.name, self.version = archive.stem.rsplit("_v", 1)
        self.archive, self.wheel, self.address, self.folder = archive, wheel, address, folder
        with zipfile.ZipFile(archive) as content:
            self.metadata = json.loads(content.read(f"{self.name}/configs/metadata.json"))
        self.environments = environments
        self.bundle = folder / "downloaded" / self.name
        self.bare = folder / "bare" / self.name
        self.elsewhere = folder / "elsewhere"
        self.cohort = cohort
        self.commands = itertools.count(1)

    def arrival(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """What a collaborator does first, in order."""
        yield "the packages of metadata.json can be installed", self.install
        yield "download --url", self.download
        yield "monai.bundle.load for training and inference, from --source github", self.load_from_github
        yield "a model is in it", self.has_a_model

    def uses(self) -> list[Iterator[tuple[str, Callable[[], None]]]]:
        """What a collaborator does then, in each place; the places do not depend on one another."""
        places = (
            ("inside its folder", self.bundle, self.bundle),
            ("elsewhere", self.bundle, self.elsewhere),
            ("elsewhere with the wheel", self.bare, self.elsewhere),
        )
        return [self._use(*place) for place in places]

    def _use(self, where: str, bundle: Path, cwd: Path) -> Iterator[tuple[str, Callable[[], None]]]:
        yield f"training, {where}", partial(self.train, where, bundle, cwd)
        yield f"evaluation, {where}", partial(self.evaluate, where, bundle, cwd)
        yield f"inference, {where}", partial(self.infer, where, bundle, cwd)

    def end(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """What must hold in the end."""
        yield "without any common the message says what to install", self.without_common
        yield "nothing in the bundle's folder has changed", self.unchanged

    def install(self) -> None:
        self.python = self.environments.python(self.metadata)

    def download(self) -> None:
        words = [
            "--name",
            self.name,
            "--url",
            f"{self.address}/{self.archive.name}",
            "--bundle_dir",
            self.bundle.parent,
        ]
        self.call(["-m", "monai.bundle", "download", *words], self.elsewhere)
        self.before = contents(self.bundle)
        with zipfile.ZipFile(self.archive) as content:
            expect(self.before.keys(), {name.split("/", 1)[1] for name in content.namelist()}, "files of the zip")
        shutil.copytree(self.bundle, self.bare, ignore=shutil.ignore_patterns("common"))
        self.site = self.folder / "site"
        with zipfile.ZipFile(self.wheel) as content:
            content.extractall(self.site)

    def load_from_github(self) -> None:
        folder = self.folder / "github"
        settings = {"name": self.name, "version": self.version, "address": self.address, "folder": str(folder)}
        self.call(["-c", GITHUB.format(**settings)], self.elsewhere)
        expect(contents(folder / self.name), self.before, "the same files as from the address")

    def has_a_model(self) -> None:
        if not (self.bundle / "models" / "model.pt").is_file():
            raise Failed("there is no models/model.pt")

    def make_cohort(self) -> None:
        self.call(["-c", PHANTOM.format(str(self.cohort))], self.bundle)

    def train(self, where: str, bundle: Path, cwd: Path) -> None:
        for stage, settings in STAGES[self.name]:
            self.workflow(where, bundle, cwd, [stage], settings)
        if not (self.output(where) / "model.pt").is_file():
            raise Failed(f"there is no {self.output(where) / 'model.pt'}")

    def evaluate(self, where: str, bundle: Path, cwd: Path) -> None:
        self.workflow(where, bundle, cwd, ["train", "evaluate"], {})
        metrics = json.loads((self.output(where) / "evaluation" / "metrics.json").read_text())
        expect(metrics["scans"], 1, "scans that were evaluated")

    def infer(self, where: str, bundle: Path, cwd: Path) -> None:
        """Inference with the model that is in the bundle, as it is; with the one just trained if there is none."""
        images, predictions = self.cohort / "images", self.output(where) / "predictions"
        if (bundle / "models" / "model.pt").is_file():
            words = ["--config_file", bundle / "configs" / "inference.json"]
            words += ["--dataset_dir", images, "--prediction_dir", predictions]
            self.call(["-m", "monai.bundle", "run", "inference", *words], cwd, **self.path(bundle))
        else:
            self.workflow(where, bundle, cwd, ["inference"], {"dataset_dir": str(images)})
        expect(len(list(predictions.glob("*_seg.nii.gz"))), len(list(images.iterdir())), "predictions")

    def without_common(self) -> None:
        words = [
            "--config_file",
            "configs/train.json",
            "--dataset_dir",
            self.cohort,
            "--output_dir",
            self.folder / "none",
        ]
        log = self.log()
        done = run([self.python, "-m", "monai.bundle", "run", "training", *words], self.bare, log)
        if not done.returncode or REMEDY not in done.stdout:
            raise Failed(f"expected an error that names {REMEDY}, see {log}")

    def unchanged(self) -> None:
        expect(contents(self.bundle), self.before, "files of the bundle as downloaded")

    def workflow(self, where: str, bundle: Path, cwd: Path, stages: list[str], settings: dict[str, Any]) -> None:
        overlay = self.output(where).parent / f"{stages[-1]}.json"
        overlay.parent.mkdir(parents=True, exist_ok=True)
        given = {"dataset_dir": str(self.cohort), "output_dir": str(self.output(where)), "device": "cpu"}
        if stages == ["train"] and self.name == "assft_adapt":
            given["pretrained"] = str(self.output(where) / "pretrained.pt")
        overlay.write_text(json.dumps(given | SMALL[self.name] | settings))
        files = [*(str(bundle / "configs" / f"{stage}.json") for stage in stages), str(overlay)]
        words = ["--config_file", str(files)]
        self.call(["-m", "monai.bundle", "run", *words], cwd, **self.path(bundle))

    def output(self, where: str) -> Path:
        return self.folder / where.replace(" ", "_") / "run"

    def path(self, bundle: Path) -> dict[str, str]:
        return {"PYTHONPATH": str(self.site)} if bundle == self.bare else {}

    def call(self, words: list[Any], cwd: Path, **environment: str) -> None:
        """Runs Python; an error is the check's."""
        log = self.log()
        cwd.mkdir(parents=True, exist_ok=True)
        done = run([self.python, *words], cwd, log, **environment)
        if done.returncode:
            lines = [line for line in done.stdout.splitlines() if "Error" in line]
            raise Failed(f"{(lines or ['it failed'])[0].strip()[:200]}, see {log}")

    def log(self) -> Path:
        return self.folder / "logs" / f"{next(self.commands):02d}.txt"


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of the files of a folder, without Python's own caches, by path."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def expect(found: Any, expected: Any, what: str) -> None:
    """Raises if something is not as expected."""
    if found == expected:
        return
    if isinstance(found, dict):
        found = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise Failed(f"{what}: these differ: {', '.join(found)}")
    raise Failed(f"{what}: expected {expected}, found {found}")


def check_sums(folder: Path) -> None:
    """Every file of the release is as its sums say."""
    lines = [line.split() for line in (folder / "SHA256SUMS").read_text().splitlines()]
    expect(
        {name: checksum for checksum, name in lines},
        {name: checksum for name, checksum in contents(folder).items() if name != "SHA256SUMS"},
        "SHA256SUMS",
    )


def pack(python: Path, folder: Path) -> None:
    """Packs all bundles of this repository into a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    done = run([python, "-m", "common", "pack", "all", "--output_dir", folder], ROOT, folder.parent / "pack.txt")
    if done.returncode:
        sys.exit(f"the bundles could not be packed:\n{done.stdout}")


def play(title: str, checks: Iterator[tuple[str, Callable[[], None]]]) -> list[bool]:
    """Runs checks one after the other, whatever the former found, and prints each."""
    passed = []
    for what, check in checks:
        try:
            check()
        except Exception as error:  # whatever goes wrong, the check has failed and the others are still to be made
            reason = str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
            print(f"FAILED  {title}: {what}: {reason}", flush=True)
            passed.append(False)
        else:
            print(f"passed  {title}: {what}", flush=True)
            passed.append(True)
    return passed


def main() -> None:
    """Reads the command line, makes all checks, and ends with status 1 if any failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dist", type=Path, help="what `python -m common pack` was given; by default they are packed")
    parser.add_argument("--work", type=Path, default=Path("runs/collaborator"), help="folder for everything else")
    parser.add_argument("--bundles", nargs="+", help="names of bundles; all by default")
    parser.add_argument("--jobs", type=int, default=2, help="number of commands at a time")
    given = parser.parse_args()
    work = given.work.resolve()
    environments = Environments(work / "environments")
    if given.dist is None:
        pack(environments.packer(ROOT), work / "dist")
    folder = (given.dist or work / "dist").resolve() / "bundles"
    archives = {path.stem.rsplit("_v", 1)[0]: path for path in sorted(folder.glob("*.zip"))}
    names = given.bundles or list(archives)
    if not names or not archives.keys() >= set(names):
        sys.exit(
            f"{folder}: expected zips of {', '.join(names) or 'bundles'}; make them with `python -m common pack all`."
        )
    (wheel,) = folder.glob("*.whl")
    shutil.rmtree(work / "bundles", ignore_errors=True)
    with serving(folder) as address, ThreadPoolExecutor(given.jobs) as pool:
        passed = play("all", iter([("files are as SHA256SUMS says", partial(check_sums, folder))]))
        bundles, cohort = work / "bundles", work / "bundles" / "cohort"
        users = [Collaborator(archives[name], wheel, address, bundles / name, cohort, environments) for name in names]
        for stage in (
            [(user.name, user.arrival()) for user in users],
            [("all", iter([("made-up scans", users[0].make_cohort)]))],
            [(user.name, use) for user in users for use in user.uses()],
            [(user.name, user.end()) for user in users],
        ):
            for results in pool.map(lambda part: play(*part), stage):
                passed += results
    print(f"{sum(passed)} of {len(passed)} checks passed.")
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()
