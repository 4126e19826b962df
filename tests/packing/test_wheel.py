"""The wheel, installed by itself: without the repository, commands find the bundles' configs in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from zipfile import ZipFile

import pytest

from common.packing.wheel import build_wheel
from tests.bundles.test_metadata import BUNDLES
from tests.bundles.workflows import ROOT
from tests.commands.test_sfr import FINETUNE, RETRAIN


@pytest.fixture(scope="module")
def installed(packed, tmp_path_factory):
    """Folder of an installation of the wheel alone."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*command, str(folder), str(packed.wheel)], check=True)
    return folder


@pytest.fixture
def python(installed, tmp_path):
    """Runs Python with the installation alone, in an empty folder."""
    (tmp_path / "work").mkdir()

    def run(*words):
        environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path / "work", env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_same_files_give_the_same_bytes(packed, project, tmp_path):
    umask = os.umask(0o077)
    try:
        again = build_wheel(project, tmp_path)
    finally:
        os.umask(umask)
    assert again.name == packed.wheel.name and again.read_bytes() == packed.wheel.read_bytes()


def test_what_is_in_it(packed, project):
    with ZipFile(packed.wheel) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    for bundle in BUNDLES:
        for path in (project / "bundles" / bundle / "configs").iterdir():
            assert content.pop(f"common/shipped/bundles/{bundle}/configs/{path.name}") == path.read_bytes()
    assert not [name for name in content if "shipped" in name]
    modules = {path.relative_to(project).as_posix() for path in (project / "common").rglob("*") if path.is_file()}
    assert {name for name in content if ".dist-info/" not in name} == modules


def test_bundles_are_found_in_it(python, installed):
    code = "from common.commands.bundles import find_bundle; print(*map(find_bundle, {}), sep='\\n')"
    found = python("-c", code.format(BUNDLES)).split()
    assert found == [str(installed / "common" / "shipped" / "bundles" / bundle) for bundle in BUNDLES]
    assert not any(path.startswith(str(ROOT)) for path in found)


@pytest.mark.slow
def test_a_command_of_several_bundles(python, tmp_path):
    for name, settings in (("finetune", FINETUNE), ("retrain", RETRAIN)):
        (tmp_path / f"{name}.json").write_text(json.dumps(settings))
    phantom = ["phantom", "--target", tmp_path / "cohort", "--scans", 4, "--size", 32, "--validation", 1, "--test", 1]
    python("-m", "common", *phantom)
    words = ["--dataset_dir", tmp_path / "cohort", "--output_dir", tmp_path / "run", "--labelled", 1]
    words += ["--finetune", tmp_path / "finetune.json", "--retrain", tmp_path / "retrain.json"]
    assert "Dice" in python("-m", "common", "sfr", *words)
    assert json.loads((tmp_path / "run/retrain/evaluation/metrics.json").read_text())["scans"] == 1
