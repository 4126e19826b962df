"""Settings that are refused before anything is computed."""

import json

import pytest

from common.preflight import _explain, check_checkpoint, check_overrides, check_roi_size


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"max_iterations": 1, "seed": 0, "train": {}}))
    return path


def arguments(config, *words):
    return ["run", "training", "--config_file", str(config), *words]


@pytest.mark.parametrize(
    "words",
    [("--max_iterations", "3"), ("--max_iterations=3",), ("--train#trainer#max_epochs", "1"), ("--+seed", "1"), ()],
)
def test_known_overrides(config, words):
    check_overrides(config, arguments(config, *words))


@pytest.mark.parametrize("words", [("--max_iteration", "3"), ("--max_iteration=3",), ("--+max_iteration", "3")])
def test_unknown_override(config, words):
    with pytest.raises(ValueError, match=r"max_iteration \(did you mean --max_iterations"):
        check_overrides(config, arguments(config, *words))


def test_ids_of_a_second_config_file_are_known(config, tmp_path):
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"terms": []}))
    check_overrides(config, ["run", "--config_file", f"['{config}','{other}']", "--terms", "[]"])


def test_other_programs_are_left_alone(config):
    check_overrides(config, ["--max_iteration", "3"])


@pytest.mark.parametrize("size", [(48, 48), (48, 40, 32), (0, 16, 16)])
def test_bad_roi_size(size):
    with pytest.raises(ValueError, match="roi_size must be three sizes divisible by 16"):
        check_roi_size(size)


def test_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.pt: expected the weights"):
        check_checkpoint(tmp_path / "model.pt")


def test_the_cause_of_an_error_comes_last(capsys):
    try:
        try:
            raise ValueError("scan a: label on another grid")
        except ValueError as cause:
            raise RuntimeError("Failed to evaluate") from cause
    except RuntimeError as error:
        _explain(type(error), error, error.__traceback__)
    assert capsys.readouterr().err.endswith("\nValueError: scan a: label on another grid\n")
