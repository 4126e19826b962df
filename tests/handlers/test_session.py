"""The record of sessions: what each has, how they follow each other, and what is left alone."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import ignite.distributed as idist
import pytest
from ignite.engine import Engine, Events

from common.handlers import SessionRecord, read_sessions


def run(folder: Path, *, until: int, begin: int = 0, stop: int | None = None, **settings) -> Engine:
    """An engine of ``until`` iterations that resumes after ``begin`` and breaks after ``stop``."""

    def step(engine, batch):
        if engine.state.iteration == stop:
            raise RuntimeError("broken")

    engine = Engine(step)
    engine.state.device = "cpu"
    SessionRecord(folder, **({"stage": "training", "every": 2} | settings)).attach(engine)

    @engine.on(Events.STARTED)
    def resume(engine):
        engine.state.iteration = begin
        engine.state.epoch = begin // until

    engine.run([0] * until, max_epochs=1, epoch_length=until)
    return engine


def test_a_session(tmp_path: Path) -> None:
    run(tmp_path / "new", until=5, seed=3, config={"budget": 4})
    (session,) = read_sessions(tmp_path / "new" / "provenance.json")
    assert (session["stage"], session["seed"], session["config"]) == ("training", 3, {"budget": 4})
    assert session["iterations"] == [0, 5] and session["complete"]
    assert session["processes"] == 1 and shlex.split(session["command"]) == sys.orig_argv
    assert session["started"] <= session["ended"] and session["seconds"] >= 0
    assert session["peak_memory"] > 1e7 and session["peak_gpu_memory"] is None
    assert {"python", "torch", "monai", "project"} <= session["versions"].keys()


def test_a_session_that_breaks_and_one_that_resumes(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        run(tmp_path, until=8, stop=6)
    (broken,) = read_sessions(tmp_path / "provenance.json")
    assert broken["iterations"] == [0, 4] and not broken["complete"]
    run(tmp_path, until=8, begin=4)
    first, second = read_sessions(tmp_path / "provenance.json")
    assert first == broken
    assert second["iterations"] == [4, 8] and second["complete"]


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    run(tmp_path, until=4)
    before = (tmp_path / "provenance.json").read_bytes()
    run(tmp_path, until=4, begin=4)
    assert (tmp_path / "provenance.json").read_bytes() == before


@pytest.mark.parametrize("content", ["{", "[]", '{"sessions": [1]}', '{"sessions": 1}'])
def test_a_damaged_record_is_named_and_kept(content: str, tmp_path: Path) -> None:
    path = tmp_path / "provenance.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"provenance\.json: expected"):
        run(tmp_path, until=4)
    assert path.read_text() == content


def test_no_record_is_no_sessions(tmp_path: Path) -> None:
    assert read_sessions(tmp_path / "provenance.json") == []


def run_in_a_process(rank: int, folder: Path) -> None:
    run(folder, until=2)


@pytest.mark.slow
def test_of_several_processes_the_first_keeps_it(tmp_path: Path) -> None:
    idist.spawn("gloo", run_in_a_process, (tmp_path,), nproc_per_node=2)
    (session,) = json.loads((tmp_path / "provenance.json").read_text())["sessions"]
    assert session["processes"] == 2
