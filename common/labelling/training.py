"""Trainings of a run that a study is labelled with: each in a folder of its own, with what was annotated by then."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from common.annotations.changes import changing
from common.annotations.ledger import Ledger
from common.annotations.store import AnnotationStore
from common.cohort.cohort import write_datalist
from common.files import read_json, replacing, write_json
from common.handlers.log import read_log
from common.networks.model_files import model_file, model_settings, settings_file

STARTS = ("current", "anew")
"""What a training starts from: the current model, or random weights."""

START_IDS = ("initial_weights", "initial_checkpoint", "pretrained")
"""Ids of the bundles' configs that name the weights to start from; each bundle has one of them."""

SIZES = ("width", "feature_size", "window_size")
"""Settings of a model that are arguments of the bundle's ``network_def``."""

OWNED = ("bundle_root", "dataset_dir", "output_dir", "annotator", "budget", *START_IDS)
"""Settings that a training sets itself."""


class TrainingStopped(Exception):
    """A training was stopped before its end; the next one resumes it."""


@dataclass(frozen=True)
class Training:
    """A training of a run, in ``RUN/trainings/001`` and so on.

    Its folder is complete: a copy of the ledger and of the annotations, the images' list, the settings, and what the
    training writes. ``python -m common report --output_dir FOLDER`` tells its story.

    Attributes:
        folder: Its folder.
    """

    folder: Path

    @classmethod
    def last(cls, run: str | Path) -> Training | None:
        """The run's last training, whether complete or not; None if there is none."""
        folders = sorted(Path(run).glob("trainings/[0-9][0-9][0-9]*/training.json"))
        return cls(folders[-1].parent) if folders else None

    @classmethod
    def begin(
        cls,
        run: str | Path,
        *,
        bundle: str | Path,
        images: Mapping[str, Path],
        labels: Mapping[int, str],
        start: str = "current",
        overlay: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Training:
        """Prepares a training on what is annotated now, or takes up the last one if it was stopped.

        A stopped training is taken up where nothing was annotated since, and the settings are the same.

        Args:
            run: Folder of the run, whose ledger and annotations are learnt from.
            bundle: Folder of the bundle.
            images: Image of every scan of the study by its id; those that are not annotated are learnt from too.
            labels: Name of each class 1..K.
            start: One of ``STARTS``. With "current" and no model of these classes, it starts anew.
            overlay: Name of a config of the bundle that goes on top of ``train.json``, if there is such a file.
            settings: Further settings of ``train.json`` by id.

        Raises:
            ValueError: If nothing is annotated, or a setting is unknown or the training's own.
            OSError: If the folder cannot be written; nothing is left of it then.
        """
        run, bundle = Path(run), Path(bundle).resolve()
        ledger = Ledger(run / "ledger.json")
        annotated = [scan for scan in ledger.labelled if scan in images]
        if not annotated:
            raise ValueError(f"{ledger.path}: no annotated scan of this study yet; annotate one, then train.")
        model = model_file(run, bundle)
        content = _settings(bundle, model, len(labels) + 1, start, dict(settings or {}))
        configs = [name for name in (overlay,) if name and (bundle / "configs" / f"{name}.json").is_file()]
        record = {
            "bundle": str(bundle),
            "configs": [str(bundle / "configs" / f"{name}.json") for name in configs],
            "settings": content,
            "annotated": {entry.scan: entry.time for entry in ledger.entries},
            "images": {scan: str(image) for scan, image in images.items()},
        }
        former = cls.last(run)
        if former is not None and not former.complete and former._same(record):
            return former
        return cls._create(run, record, ledger, labels, model)

    @classmethod
    def _create(
        cls, run: Path, record: dict[str, Any], ledger: Ledger, labels: Mapping[int, str], model: Path
    ) -> Training:
        former = cls.last(run)
        number = 1 if former is None else int(former.folder.name) + 1
        folder = run.resolve() / "trainings" / f"{number:03d}"
        store, copies = AnnotationStore(run), AnnotationStore(folder)
        shutil.rmtree(folder, ignore_errors=True)  # of a training whose beginning was interrupted
        try:
            folder.mkdir(parents=True)
            with changing(ledger, store):
                listed = [entry for entry in ledger.entries if entry.scan in record["images"]]
                Ledger(folder).add(listed)
                for entry in listed:
                    target = copies.path("annotation", entry.scan)
                    target.parent.mkdir(exist_ok=True)
                    shutil.copy(store.path("annotation", entry.scan), target)
            items = [{"image": str(Path(image).resolve())} for image in record["images"].values()]
            name = f"study of {run.resolve().name}"
            write_datalist(folder / "cohort", name=name, labels=dict(labels), splits={"training": items})
            settings = record["settings"]
            wanted = next((key for key in START_IDS if key in settings), None)
            if wanted is not None and settings[wanted] is not None:
                settings = settings | {wanted: str(folder / "initial.pt")}
                shutil.copy(model, folder / "initial.pt")
            paths = {"dataset_dir": str(folder / "cohort"), "output_dir": str(folder), "annotator": "ledger"}
            write_json(folder / "settings.json", settings | paths)
            write_json(folder / "training.json", record | {"started": _now()})
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(folder)

    @property
    def record(self) -> dict[str, Any]:
        """What the training was begun with."""
        return dict(read_json(self.folder / "training.json"))

    @property
    def complete(self) -> bool:
        """Whether it has come to its end."""
        return "ended" in self.record

    @property
    def annotated(self) -> list[str]:
        """Ids of the annotated scans that it learns from."""
        return list(self.record["annotated"])

    def _same(self, record: Mapping[str, Any]) -> bool:
        own = self.record
        return all(own[name] == value for name, value in record.items())

    @property
    def command(self) -> list[str]:
        """The command that trains, or resumes."""
        record = self.record
        configs = ["train", *record["configs"], str(self.folder / "settings.json")]
        status = str(self.folder / "status.json")
        return [sys.executable, "-m", "common.commands.stage_process", status, record["bundle"], *configs]

    def run(
        self,
        run: str | Path,
        *,
        wanted: Callable[[], bool] = lambda: True,
        tell: Callable[[str], object] = print,
        every: float = 1.0,
    ) -> None:
        """Trains in a process of its own to the end, then puts the model in place of the run's.

        Args:
            run: Folder of the run.
            wanted: Tells whether the training is still wanted; it is stopped if not.
            tell: Gets a line of progress whenever there is some.
            every: Seconds between two looks.

        Raises:
            TrainingStopped: If it was not wanted any more.
            RuntimeError: If another process trains in this run, or the training fails; the message says why.
        """
        try:
            lock = FileLock(self.folder.parent / ".lock").acquire(timeout=10 * every)
        except Timeout:
            raise RuntimeError(
                f"{self.folder.parent}: another training of this run is going on; wait for its end, or stop it."
            ) from None
        with lock, (self.folder / "train.log").open("ab") as log:
            status = self.folder / "status.json"
            status.unlink(missing_ok=True)
            # It ends with this process, killed or not, because its standard input does.
            process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.PIPE)
            told = ""
            try:
                while process.poll() is None:
                    if not wanted():
                        raise TrainingStopped(f"{self.folder}: stopped; the next training resumes it.")
                    if (text := _in_words(self.progress())) != told:
                        tell(text)
                        told = text
                    time.sleep(every)
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()
            error = f"exit status {process.returncode}" if process.returncode else None
            if status.is_file():
                error = read_json(status)["error"]
            if error:
                raise RuntimeError(f"{self.folder}: the training failed: {error}; all of it is in train.log.")
            write_json(self.folder / "training.json", self.record | {"ended": _now()})
            self.publish(run)

    def publish(self, run: str | Path) -> bool:
        """Puts the model of a complete training in place of the run's, the settings first and each file atomically.

        Returns:
            Whether it had to be done.
        """
        if not self.complete or "published" in self.record:
            return False
        for name in (settings_file("model.pt").name, "model.pt"):
            if (self.folder / name).is_file():
                with replacing(Path(run) / name) as temporary:
                    shutil.copy(self.folder / name, temporary)
        write_json(self.folder / "training.json", self.record | {"published": _now()})
        return True

    def progress(self) -> dict[str, Any]:
        """How far it is, in the words that MONAI Label's clients know, and its latest losses.

        Returns:
            ``epoch`` and ``total_epochs`` count iterations; ``total_time`` is there when it is complete.
        """
        record = self.record
        log = self.folder / "log.jsonl"
        lines = [line for line in (read_log(log) if log.is_file() else []) if line["kind"] == "train"]
        latest = lines[-1] if lines else {"iteration": 0}
        losses = {name: value for name, value in latest.items() if name not in ("kind", "iteration")}
        total = record["settings"]["max_iterations"]
        found: dict[str, Any] = {
            "training": self.folder.name,
            "epoch": latest["iteration"],
            "total_epochs": total,
            "losses": losses,
            "annotated": len(record["annotated"]),
            "images": len(record["images"]),
            "start_ts": record["started"],
            "best_metric": 0,
        }
        if self.complete:
            taken = datetime.fromisoformat(record["ended"]) - datetime.fromisoformat(record["started"])
            found |= {"epoch": total, "total_time": str(taken)}
        return found


def learnt_from(run: str | Path) -> set[str]:
    """Ids of the annotated scans that the run's current model has learnt from."""
    folders = sorted(Path(run).glob("trainings/[0-9][0-9][0-9]*/training.json"), reverse=True)
    trainings = (Training(folder.parent) for folder in folders)
    last = next((training for training in trainings if training.complete), None)
    if last is not None:
        return set(last.annotated)
    own = model_file(run, run).is_file()  # trained by `monai.bundle run` in this folder
    return {entry.scan for entry in Ledger(run).entries if own and entry.annotator != "monai_label"}


def _settings(bundle: Path, model: Path, classes: int, start: str, given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a training by id, but for the paths."""
    if start not in STARTS:
        raise ValueError(f"start must be one of {', '.join(STARTS)}, got {start!r}.")
    known = read_json(bundle / "configs" / "train.json")
    wrong = [name for name in given if name.split("#")[0] not in known or name in OWNED]
    if wrong:
        raise ValueError(f"{bundle.name}: expected settings of its train.json, found {', '.join(wrong)}.")
    content: dict[str, Any] = {}
    sizes = read_json(settings_file(model)) if settings_file(model).is_file() else {}
    for name, value in sizes.items():
        if name in SIZES:
            content[f"network_def#{name}"] = value
        elif name in known and name != "num_classes":
            content[name] = value
    content |= {"max_iterations": 1000, "checkpoint_interval": 25} | given
    fits = model_settings(model, {"num_classes": 2})["num_classes"] == classes
    weights = str(model) if start == "current" and model.is_file() and fits else None
    content |= {name: weights for name in START_IDS if name in known}
    return content


def _in_words(progress: Mapping[str, Any]) -> str:
    losses = ", ".join(f"{name} {value:.4f}" for name, value in progress["losses"].items())
    return f"training {progress['training']}: iteration {progress['epoch']} of {progress['total_epochs']}; {losses}"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
