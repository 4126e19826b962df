"""A real MONAI Label server with the app, and what its clients ask of it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import psutil
import requests

ROOT = Path(__file__).resolve().parents[1]

READY = 120
"""Seconds within which a server must answer."""


class Server:
    """A server of a study, in a process of its own.

    Args:
        study: Folder of the study's images.
        log: File that gets what the server prints.
        conf: Settings of the app.
    """

    def __init__(self, study: Path, log: Path, **conf: Any) -> None:
        self.study = study
        self.log = log
        self.conf = conf
        self.seconds = 0.0
        self.process: subprocess.Popen | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self) -> Server:
        """Starts the server and waits until it answers."""
        words = ["start_server", "--app", str(ROOT / "monailabel_app"), "--studies", str(self.study)]
        words += ["--host", "127.0.0.1", "--port", str(self.port)]
        for name, value in self.conf.items():
            words += ["--conf", name, str(value)]
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",
        }
        begin = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "monailabel.main", *words],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self.log.parent,
            )
        while self.process.poll() is None and time.monotonic() - begin < READY:
            try:
                self.info()
                self.seconds = time.monotonic() - begin
                return self
            except requests.ConnectionError:
                time.sleep(0.2)
        raise RuntimeError(f"the server does not answer:\n{self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        """Ends the server at once, as a power cut would, but not what it has started."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """Ends the server and everything that it has started."""
        if self.process is None or self.process.poll() is not None:
            return
        for child in psutil.Process(self.process.pid).children(recursive=True):
            child.kill()
        self.process.terminate()
        self.process.wait(30)

    def ask(self, method: str, path: str, *, expect: int = 200, **arguments: Any) -> requests.Response:
        """One request, whose status must be the expected one."""
        reply = requests.request(method, f"http://127.0.0.1:{self.port}{path}", timeout=300, **arguments)
        assert reply.status_code == expect, f"{method} {path}: {reply.status_code} {reply.text[:2000]}"
        return reply

    def info(self) -> dict[str, Any]:
        """What Slicer learns of the server."""
        return self.ask("GET", "/info/").json()

    def next_scan(self, strategy: str, **arguments: Any) -> dict[str, Any]:
        """The next sample."""
        return self.ask("POST", f"/activelearning/{strategy}", json={}, **arguments).json()

    def infer(self, model: str, scan: str, **params: Any) -> np.ndarray:
        """The label map that a model gives, on the grid of the image's file."""
        reply = self.ask("POST", f"/infer/{model}?image={scan}&output=image", data={"params": json.dumps(params)})
        return voxels(reply.content)

    def tell(self, model: str, scan: str, *, expect: int = 200, **params: Any) -> dict[str, Any]:
        """What a model tells beside its label map."""
        data = {"params": json.dumps(params)}
        return self.ask("POST", f"/infer/{model}?image={scan}&output=json", expect=expect, data=data).json()

    def save(
        self, scan: str, label: np.ndarray, affine: np.ndarray, names: list[str] | None, *, expect: int = 200
    ) -> dict[str, Any]:
        """Saves a label as Slicer does: values 1..N, whose names are listed in order with another ``idx``."""
        info = None if names is None else [{"name": name, "idx": place + 7} for place, name in enumerate(names)]
        data = {"params": json.dumps({"label_info": info} if info else {})}
        image = nib.Nifti1Image(label.astype(np.int16), affine)
        files = {"label": ("label.nii.gz", gzip.compress(image.to_bytes()))}
        return self.ask("PUT", f"/datastore/label?image={scan}&tag=final", expect=expect, data=data, files=files).json()

    def run(self, what: str, path: str, **params: Any) -> dict[str, Any]:
        """Runs a task in the background to its end, and gives its status."""
        self.ask("POST", path, json=params)
        return self.wait(what)

    def wait(self, what: str) -> dict[str, Any]:
        """Waits until no task of that kind runs, and gives the status of the last one."""
        while True:
            status = self.ask("GET", what).json()
            if status["status"] in ("DONE", "ERROR", "STOPPED"):
                return status
            time.sleep(0.3)


def voxels(content: bytes) -> np.ndarray:
    """The voxels of a NIfTI file that was sent."""
    raw = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    return np.asarray(nib.Nifti1Image.from_bytes(raw).dataobj)
