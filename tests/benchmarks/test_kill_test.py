"""Runs that are killed again and again, in small: what ``benchmarks/kill_test.py`` plays a thousand times."""

import os
import subprocess
import sys

import pytest

from tests.bundles.workflows import ROOT


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are copied by fork, which this system lacks")
def test_thirty_kills(tmp_path):
    words = ["benchmarks/kill_test.py", "--kills", "30", "--output_dir", str(tmp_path / "runs"), "--seed", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": 30 kills, of which" in done.stdout and "no failure." in done.stdout
