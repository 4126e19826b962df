"""Settings that no config has are refused when they are typed."""

import json

import pytest
from common.commands.overrides import check_overrides


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


@pytest.mark.parametrize("name", ["a'b", "a,b", 'a"b', "a [b]"])
def test_a_folder_of_any_name(name, tmp_path):
    (tmp_path / name).mkdir()
    files = [tmp_path / name / "train.json", tmp_path / name / "other.json"]
    for file, known in zip(files, ("seed", "terms"), strict=True):
        file.write_text(json.dumps({known: 0}))
    words = ["run", "--config_file", str([str(file) for file in files]), "--terms", "1", "--seed", "1"]
    check_overrides(files[0], words)
    with pytest.raises(ValueError, match="no setting for --term "):
        check_overrides(files[0], [*words, "--term", "2"])


def test_other_programs_are_left_alone(config):
    check_overrides(config, ["--max_iteration", "3"])
