"""What this machine, process and checkout are, compared with what other sources say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import torch

import common
from common.provenance import commit, hardware, peak_memory, versions


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def test_versions() -> None:
    found = versions()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["project"] == common.__version__
    assert torch.__version__.startswith(found["torch"])


def test_a_checkout_and_its_changes(tmp_path: Path) -> None:
    assert commit(tmp_path) is None
    git(tmp_path, "init")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    first = commit(tmp_path)
    assert first is not None and re.fullmatch(r"[0-9a-f]{12}", first)
    assert commit(tmp_path) == first
    (tmp_path / "file").write_text("two")
    assert commit(tmp_path) == f"{first}-dirty"
    (tmp_path / "below").mkdir()
    assert commit(tmp_path / "below") is None, "a package that was installed within another project's checkout"


def test_hardware() -> None:
    found = hardware("cpu")
    assert found["gpu"] is None and found["threads"] == torch.get_num_threads()
    assert 1 <= found["cores"] <= (os.cpu_count() or 1)
    assert found["processor"]


def test_the_peak_of_memory_is_this_process_own() -> None:
    code = (
        "import numpy as np; from common.provenance import peak_memory; before = peak_memory(); "
        "held = np.ones(200_000_000 // 8); del held; print(before, peak_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert 150e6 < after - before < 260e6
    assert (peak_memory() or 0) > 0
