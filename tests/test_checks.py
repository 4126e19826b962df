"""Settings that are refused before anything is computed."""

import json
import re

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import SwinUNETR
from torch import nn

from common.checks import (
    _explain,
    check_checkpoint,
    check_largest_volumes,
    check_one_of,
    check_overrides,
    check_roi_size,
    check_window,
    explained,
)


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


def test_one_of():
    check_one_of("annotator", "folder", {"oracle": 1, "folder": 2})
    with pytest.raises(ValueError, match="annotator must be one of oracle, folder, got 'me'"):
        check_one_of("annotator", "me", {"oracle": 1, "folder": 2})


def test_other_programs_are_left_alone(config):
    check_overrides(config, ["--max_iteration", "3"])


@pytest.mark.parametrize("size", [(48, 48), (48, 40, 32), (0, 16, 16)])
def test_bad_roi_size(size):
    with pytest.raises(ValueError, match="roi_size must be three sizes divisible by 16"):
        check_roi_size(size)


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "1"])
def test_a_number_of_components_that_is_none(number):
    for fine in (None, 1, 2):
        check_largest_volumes(fine)
    with pytest.raises(ValueError, match=r"whole number of at least 1 \(or None\), got " + re.escape(repr(number))):
        check_largest_volumes(number)


@pytest.mark.parametrize(
    ("roi_size", "channels", "words"),
    [
        ((64, 48, 32), 1, r"SwinUNETR .* roi_size \[64, 48, 32\] and channels 1: .*divisible"),
        ((32, 32, 32), 1, "more than 1 spatial element"),
        ((64, 32, 32), 4, "channels 4: .*channels"),
    ],
)
def test_a_window_that_the_network_cannot_take(roi_size, channels, words):
    network = SwinUNETR(in_channels=1, out_channels=2, window_size=4, feature_size=12)
    with pytest.raises(ValueError, match=words) as caught:
        check_window(network, roi_size, channels)
    assert caught.value.__cause__ is None
    check_window(network, (64, 32, 32), 1)


def test_trying_a_window_leaves_the_network_as_it_is():
    network = nn.Sequential(nn.BatchNorm3d(2), nn.Dropout3d(), nn.Conv3d(2, 2, 3))
    network[1].eval()
    before = {name: it.clone() for name, it in network.state_dict().items()}
    state = torch.get_rng_state()
    check_window(network, (4, 4, 4), 2)
    assert all(torch.equal(it, before[name]) for name, it in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert [layer.training for layer in network.modules()] == [True, True, False, True]


def test_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.pt: expected the weights"):
        check_checkpoint(tmp_path / "model.pt")


def damaged(path):
    """Fails as the project's readers do: its own words, over those of a library."""
    try:
        raise RuntimeError("PytorchStreamReader failed")
    except RuntimeError as error:
        raise ValueError(f"{path}: expected weights, found a damaged file.") from error


@pytest.mark.parametrize("content", [{"weights": "$fail('a.pt')"}, {"weights": {"_target_": "$fail", "path": "a.pt"}}])
def test_a_failing_config_ends_with_the_projects_own_words(content, capsys):
    parser = ConfigParser(content, globals={"fail": damaged})
    with pytest.raises(RuntimeError, match="Failed to") as caught:
        parser.get_parsed_content("weights")
    _explain(caught.type, caught.value, caught.tb)
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback") and explained(f"doing this\n{printed}") == printed.splitlines()[-1]
    assert printed.endswith("\nValueError: a.pt: expected weights, found a damaged file.\n")


def test_what_this_package_refuses_needs_no_traceback(capsys):
    parser = ConfigParser({"size": "$check([1, 2])"}, globals={"check": check_roi_size})
    with pytest.raises(RuntimeError, match="Failed to") as caught:
        parser.get_parsed_content("size")
    _explain(caught.type, caught.value, caught.tb)
    words = "ValueError: roi_size must be three sizes divisible by 16, got [1, 2]."
    assert capsys.readouterr().err == f"\n{words}\n"


def test_what_went_wrong_of_all_that_was_printed():
    lines = "\n".join(f"{place}.nii.gz: expected this, found that" for place in range(30))
    assert explained(f"note: begins\n\nKeyError: 1\n\nCohortError: 30 problems:\n{lines}\n").count("\n") == 30
    assert explained("\n".join(map(str, range(20)))) == "\n".join(map(str, range(5, 20)))
