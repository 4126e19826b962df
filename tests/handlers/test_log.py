"""The log of a run, also of one that was stopped and resumed."""

import pytest
from ignite.engine import Engine, Events

from common.handlers import RoundEvents, TrainingLog, read_log


def engine_of(log):
    engine = Engine(lambda engine, batch: [{"loss": float(engine.state.iteration)}])
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


def resumed_after(path, lines, iteration):
    """An engine whose log resumes from a checkpoint with so many lines, after an iteration."""
    engine = Engine(lambda engine, batch: [{"loss": -1.0}])
    log = TrainingLog(path, every=1)
    log.attach(engine)

    @engine.on(Events.STARTED)
    def restore(engine):
        engine.state.iteration = iteration
        log.load_state_dict({"lines": lines})

    return engine


@pytest.mark.parametrize("cut", ["", '{"kind": "tr'])
def test_lines_after_the_checkpoint_are_written_again(tmp_path, cut):
    path = tmp_path / "log.jsonl"
    log = TrainingLog(path, every=1)
    engine_of(log).run(range(6))
    assert log.state_dict() == {"lines": 6}
    with path.open("a") as file:
        file.write(cut)
    resumed_after(path, 4, 4).run(range(6), max_epochs=1)
    assert [(line["iteration"], line["loss"]) for line in read_log(path)] == [
        (1, 1.0),
        (2, 2.0),
        (3, 3.0),
        (4, 4.0),
        (5, -1.0),
        (6, -1.0),
    ]


def test_lines_of_a_round_count_by_the_checkpoint_and_not_by_their_iteration(tmp_path):
    """A run killed after the line of a round, and before the checkpoint that counts it, writes the line once."""
    path = tmp_path / "log.jsonl"
    engine = engine_of(TrainingLog(path, every=1))

    @engine.on(Events.ITERATION_COMPLETED(once=2))
    def act(engine):
        engine.state.metrics["cost"] = 3
        engine.fire_event(RoundEvents.ROUND_COMPLETED)

    engine.run(range(2))
    again = resumed_after(path, 2, 2)

    @again.on(Events.STARTED)
    def act_again(engine):
        engine.state.metrics["cost"] = 4
        engine.fire_event(RoundEvents.ROUND_COMPLETED)

    again.run(range(3), max_epochs=1)
    found = [(line["kind"], line["iteration"], line.get("cost")) for line in read_log(path)]
    assert found == [("train", 1, None), ("train", 2, None), ("round", 2, 4.0), ("train", 3, None)]


def test_a_finished_run_leaves_the_file_alone(tmp_path):
    path = tmp_path / "log.jsonl"
    engine_of(TrainingLog(path, every=1)).run(range(6))
    former = path.stat().st_mtime_ns
    done = resumed_after(path, 6, 6)
    done.add_event_handler(Events.STARTED, done.terminate)
    done.run(range(6))
    assert path.stat().st_mtime_ns == former


def test_without_a_checkpoint_the_log_begins_anew(tmp_path):
    path = tmp_path / "log.jsonl"
    engine_of(TrainingLog(path, every=1)).run(range(3))
    engine_of(TrainingLog(path, every=1)).run(range(1))
    assert [line["iteration"] for line in read_log(path)] == [1]


def test_a_last_line_that_was_cut_off(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"kind": "train", "iteration": 1, "loss": 2.0}\n{"kind": "tr')
    assert [line["iteration"] for line in read_log(path)] == [1]


def test_a_damaged_line(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"kind": "tr\n{"kind": "train", "iteration": 1, "loss": 2.0}\n')
    with pytest.raises(ValueError, match=r"log\.jsonl: line 1 is not valid JSON"):
        read_log(path)
