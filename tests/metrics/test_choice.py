"""Scores on the scans by which a checkpoint was chosen say so."""

import json
import logging

import pytest
from ignite.engine import Engine
from monai.data import MetaTensor
from torch import zeros

from common.metrics import ScanMetrics, chosen_on


def write_log(folder, *validations):
    lines = [{"kind": "train", "iteration": 10, "loss": 1.0}]
    lines += [{"kind": "validation", "iteration": iteration, "val_mean_dice": 0.5} for iteration in validations]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "model.pt"


def evaluate(folder, **origin):
    engine = Engine(lambda engine, batch: batch)
    handler = ScanMetrics(
        folder / "evaluation",
        {1: "a"},
        output_transform=lambda pairs: pairs,
        scan_transform=lambda batch: ["one"],
        **origin,
    )
    handler.attach(engine)
    engine.run([[(MetaTensor(zeros(1, 2, 2, 2)),) * 2]])
    return json.loads((folder / "evaluation" / "metrics.json").read_text())


@pytest.mark.parametrize(
    ("validations", "expected"), [((), False), ((20,), False), ((20, 20), False), ((20, 40), True)]
)
def test_two_validations_make_a_choice(tmp_path, validations, expected):
    """One that was repeated when the run resumed is one."""
    assert chosen_on("validation", write_log(tmp_path, *validations)) is expected


def test_other_splits_choose_nothing(tmp_path):
    model = write_log(tmp_path, 20, 40)
    assert chosen_on("test", model) is False and chosen_on("training", model) is False


def test_other_weights_are_not_known(tmp_path):
    write_log(tmp_path, 20, 40)
    assert chosen_on("validation", tmp_path / "mine.pt") is None
    assert chosen_on("validation", tmp_path / "elsewhere" / "model.pt") is None


def test_the_output_and_the_file_say_so(tmp_path, caplog):
    metrics = evaluate(tmp_path, split="validation", checkpoint=write_log(tmp_path, 20, 40))
    assert metrics["split"] == "validation" and metrics["checkpoint_chosen_on_this_split"] is True
    assert metrics["scans"] == 1
    assert "THE CHECKPOINT WAS CHOSEN ON THESE SCANS" in caplog.text


@pytest.mark.parametrize(
    ("split", "validations", "expected"), [("validation", (20,), False), ("test", (20, 40), False)]
)
def test_no_warning_where_nothing_was_chosen(tmp_path, caplog, split, validations, expected):
    with caplog.at_level(logging.WARNING):
        metrics = evaluate(tmp_path, split=split, checkpoint=str(write_log(tmp_path, *validations)))
    assert metrics["checkpoint_chosen_on_this_split"] is expected and "CHOSEN" not in caplog.text


def test_unknown_weights_are_neither(tmp_path, caplog):
    metrics = evaluate(tmp_path, split="validation", checkpoint=tmp_path / "mine.pt")
    assert metrics["checkpoint_chosen_on_this_split"] is None and "CHOSEN" not in caplog.text


def test_without_an_origin_nothing_is_said(tmp_path):
    assert not {"split", "checkpoint_chosen_on_this_split"} & evaluate(tmp_path).keys()
    with pytest.raises(ValueError, match="split and checkpoint must be given together, got 'test' and None"):
        evaluate(tmp_path, split="test")


def test_a_damaged_log_is_said_before_anything_is_computed(tmp_path):
    model = write_log(tmp_path, 20, 40)
    (tmp_path / "log.jsonl").write_text("what?\n" + (tmp_path / "log.jsonl").read_text())
    with pytest.raises(ValueError, match=r"log\.jsonl: line 1 is not valid JSON"):
        evaluate(tmp_path, split="validation", checkpoint=model)
    assert not (tmp_path / "evaluation").exists()
