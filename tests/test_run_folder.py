"""One run per folder: who is refused, who takes over, and what killed writers leave behind."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from common.files import replacing
from common.run_folder import hold_run_folder, release_run_folder, remove_leftovers
from tests.bundles.workflows import ROOT

HOLD = "import sys, time; from common.run_folder import hold_run_folder; hold_run_folder(sys.argv[1]); "


def process(code, folder):
    return subprocess.Popen([sys.executable, "-c", HOLD + code, str(folder)], stdout=subprocess.PIPE, cwd=ROOT)


def holder_of(folder):
    """A process that holds the folder and waits."""
    other = process("print('holds', flush=True); time.sleep(600)", folder)
    assert other.stdout.readline() == b"holds\n"
    return other


def end(other):
    other.send_signal(signal.SIGKILL)
    other.wait()


def test_a_second_run_is_refused_by_name_until_the_first_is_killed(tmp_path):
    other = holder_of(tmp_path)
    try:
        record = (tmp_path / ".run.json").read_text()
        expected = rf"no other run writes to, found .* process {other.pid} on {socket.gethostname()}, since 20"
        with pytest.raises(ValueError, match=expected):
            hold_run_folder(tmp_path)
        assert (tmp_path / ".run.json").read_text() == record
    finally:
        end(other)
    hold_run_folder(tmp_path)
    assert json.loads((tmp_path / ".run.json").read_text())["process"] == os.getpid()


def test_a_process_may_hold_its_folder_twice_and_others_beside_it(tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b", tmp_path / "a"):
        hold_run_folder(folder)
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run([sys.executable, "-c", HOLD, str(tmp_path / "a")], check=True, cwd=ROOT, capture_output=True)


def test_a_folder_is_free_when_it_was_released_as_often_as_it_was_held(tmp_path):
    for _ in range(2):
        hold_run_folder(tmp_path)
    release_run_folder(tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run([sys.executable, "-c", HOLD, str(tmp_path)], check=True, cwd=ROOT, capture_output=True)
    release_run_folder(tmp_path)
    release_run_folder(tmp_path)
    subprocess.run([sys.executable, "-c", HOLD, str(tmp_path)], check=True, cwd=ROOT)


def test_the_lock_waits_for_the_workers_of_a_killed_run(tmp_path):
    """A worker that its killed run has left behind still has the lock for a moment."""
    code = (
        "import os; child = os.fork(); "
        "(print('holds', flush=True), time.sleep(600)) if child else (time.sleep(4), os._exit(0))"
    )
    other = process(code, tmp_path)
    assert other.stdout.readline() == b"holds\n"
    end(other)
    hold_run_folder(tmp_path)
    assert json.loads((tmp_path / ".run.json").read_text())["process"] == os.getpid()


def test_only_the_first_of_several_processes_holds_it(tmp_path, monkeypatch):
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    hold_run_folder(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_damaged_record_does_not_matter(tmp_path):
    for text in ("", "[]", '{"host": "here"}'):
        folder = tmp_path / str(len(text))
        folder.mkdir()
        (folder / ".run.json").write_text(text)
        hold_run_folder(folder)
        assert json.loads((folder / ".run.json").read_text())["process"] == os.getpid()


def test_temporary_files_of_processes_that_are_gone_are_removed(tmp_path):
    code = (
        "from common.files import replacing; from pathlib import Path\n"
        "with replacing(sys.argv[1] + '/sub/model.pt') as temporary:\n"
        "    Path(temporary).write_text('half'); print('holds', flush=True); time.sleep(600)"
    )
    other = process("\n" + code, tmp_path)
    assert other.stdout.readline() == b"holds\n"
    left = [path.name for path in (tmp_path / "sub").iterdir()]
    assert left == [f".{other.pid}.model.pt"]
    remove_leftovers(tmp_path)
    assert [path.name for path in (tmp_path / "sub").iterdir()] == left
    end(other)
    (tmp_path / ".hidden").write_text("the user's")
    with replacing(tmp_path / "mine") as mine:
        mine.write_text("whole")
        remove_leftovers(tmp_path)
    assert not list((tmp_path / "sub").iterdir())
    assert (tmp_path / ".hidden").exists() and (tmp_path / "mine").read_text() == "whole"
