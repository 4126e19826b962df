"""The log of a run, also of one that was stopped and resumed."""

import pytest
from ignite.engine import Engine, Events

from common.handlers import RoundEvents, TrainingLog, read_log


def engine_of(log):
    engine = Engine(lambda engine, batch: {"loss": float(engine.state.iteration)})
    log.attach(engine)
    return engine


def test_a_line_every_so_often(tmp_path):
    engine_of(TrainingLog(tmp_path / "log.jsonl", every=2)).run(range(5))
    assert read_log(tmp_path / "log.jsonl") == [
        {"kind": "train", "iteration": 2, "loss": 2.0},
        {"kind": "train", "iteration": 4, "loss": 4.0},
    ]


def test_metrics_of_validations_and_rounds(tmp_path):
    validator = Engine(lambda engine, batch: None)
    engine = engine_of(TrainingLog(tmp_path / "log.jsonl", every=9, validator=validator))

    @engine.on(Events.ITERATION_COMPLETED(once=2))
    def act(engine):
        engine.state.metrics["cost"] = 3
        engine.fire_event(RoundEvents.ROUND_COMPLETED)
        validator.state.metrics["dice"] = 0.5
        validator.run([0])

    engine.run(range(3))
    assert read_log(tmp_path / "log.jsonl") == [
        {"kind": "round", "iteration": 2, "cost": 3.0},
        {"kind": "validation", "iteration": 2, "dice": 0.5},
    ]


def test_lines_after_the_checkpoint_are_written_again(tmp_path):
    path = tmp_path / "log.jsonl"
    engine_of(TrainingLog(path, every=1)).run(range(6))
    resumed = Engine(lambda engine, batch: {"loss": -1.0})

    @resumed.on(Events.STARTED)
    def restore(engine):
        engine.state.iteration = 4

    TrainingLog(path, every=1).attach(resumed)
    resumed.run(range(6), max_epochs=1)
    assert [(line["iteration"], line["loss"]) for line in read_log(path)] == [
        (1, 1.0),
        (2, 2.0),
        (3, 3.0),
        (4, 4.0),
        (5, -1.0),
        (6, -1.0),
    ]


def test_a_last_line_that_was_cut_off(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"kind": "train", "iteration": 1, "loss": 2.0}\n{"kind": "tr')
    assert [line["iteration"] for line in read_log(path)] == [1]


def test_a_damaged_line(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"kind": "tr\n{"kind": "train", "iteration": 1, "loss": 2.0}\n')
    with pytest.raises(ValueError, match=r"log\.jsonl: line 1 is not valid JSON"):
        read_log(path)
