"""Stages in processes of their own, and what they tell the command that runs them."""

import json
import logging
import signal
import subprocess
import sys

import pytest
from monai.bundle import ConfigParser

from common.checks import check_roi_size
from common.commands.stage_process import explain, main
from common.commands.stages import Steps, run_bundle, run_stage
from tests.bundles.workflows import ROOT

STAGE = """{
    "imports": ["$import logging", "$import pathlib"],
    "output_dir": null,
    "fails": false,
    "run": [
        "$logging.getLogger('common.somewhere').warning('two lines%sof a warning', chr(10))",
        "$logging.getLogger('elsewhere').warning('not of this package')",
        "$int('no number') if @fails else pathlib.Path(@output_dir, 'made.txt').touch()"
    ]
}"""


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A bundle whose one stage warns, and fails if it is told to."""
    configs = tmp_path / "bundles" / "small" / "configs"
    configs.mkdir(parents=True)
    (configs / "train.json").write_text(STAGE)
    (configs / "logging.conf").write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n[logger_root]\nhandlers=\n"
    )
    monkeypatch.chdir(tmp_path)
    return configs.parent


def test_a_stage_tells_its_warnings(bundle, tmp_path):
    assert run_bundle("small", "train", tmp_path / "run", {}) == ["two lines\nof a warning"]
    assert (tmp_path / "run" / "made.txt").is_file()
    assert json.loads((tmp_path / "run" / "train_settings.json").read_text()) == {"output_dir": str(tmp_path / "run")}


def test_a_stage_that_fails_tells_why(bundle, tmp_path):
    with pytest.raises(RuntimeError, match=r"^small, train\.json: ValueError: invalid literal for int") as caught:
        run_bundle("small", "train", tmp_path / "run", {"fails": True})
    assert "Traceback" not in str(caught.value)
    assert "Traceback" in (tmp_path / "run" / "output.txt").read_text()
    assert not (tmp_path / "run" / "made.txt").exists()


def test_a_stage_that_is_killed_tells_nothing_and_is_not_taken_for_done(bundle, tmp_path):
    run_bundle("small", "train", tmp_path / "run", {})
    with pytest.raises(RuntimeError, match="its process ended with status -9"):
        run_bundle("small", "train", tmp_path / "run", {}, watch=lambda process: process.kill())


def test_a_step_is_done_once_and_only_when_it_is_complete(bundle, tmp_path, capsys):
    def run(complete):
        steps = Steps(tmp_path / "run" / "progress.json")
        return run_stage(steps, "small", "train", tmp_path / "run", {}, "trains", complete=lambda: complete)

    assert not run(complete=False)
    assert not (tmp_path / "run" / "progress.json").exists()
    assert run(complete=True)
    assert "two lines\nof a warning" in capsys.readouterr().out
    assert run(complete=False), "what is done is not looked at again"
    assert "done before" in capsys.readouterr().out
    assert list(json.loads((tmp_path / "run" / "progress.json").read_text())) == ["train"]


def test_warnings_of_a_quiet_stage_are_kept_from_the_reader(bundle, tmp_path, capsys):
    run_stage(Steps(tmp_path / "run" / "progress.json"), "small", "train", tmp_path / "run", {}, "trains", quiet=True)
    assert "of a warning" not in capsys.readouterr().out


def test_a_stage_leaves_its_status_in_this_process_too(bundle, tmp_path):
    settings, status = tmp_path / "settings.json", tmp_path / "status.json"
    settings.write_text(json.dumps({"output_dir": str(tmp_path), "fails": True}))
    handlers = list(logging.getLogger("common").handlers)
    with pytest.raises(SystemExit) as caught:
        main(str(status), str(bundle), "train", str(settings))
    assert caught.value.code == 1
    found = json.loads(status.read_text())
    assert found["error"].startswith("ValueError: invalid literal") and found["warnings"] == ["two lines\nof a warning"]
    logging.getLogger("common").handlers = handlers


def damaged(path):
    """Fails as the project's readers do: its own words, over those of a library."""
    try:
        raise RuntimeError("PytorchStreamReader failed")
    except RuntimeError as error:
        raise ValueError(f"{path}: expected weights, found a damaged file.") from error


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"it": "$fail('a.pt')"}, "ValueError: a.pt: expected weights, found a damaged file."),
        ({"it": {"_target_": "$fail", "path": "a.pt"}}, "ValueError: a.pt: expected weights, found a damaged file."),
        ({"it": "$check([1, 2])"}, "ValueError: roi_size must be three sizes divisible by 16, got [1, 2]."),
    ],
)
def test_what_went_wrong_is_told_in_the_projects_own_words(content, words):
    parser = ConfigParser(content, globals={"fail": damaged, "check": check_roi_size})
    with pytest.raises(RuntimeError, match="Failed to") as caught:
        parser.get_parsed_content("it")
    assert explain(caught.value) == words


def test_a_stage_ends_with_the_command_that_started_it(tmp_path):
    """The command's death closes the stage's standard input, which is a pipe."""
    bundle = str(ROOT / "bundles" / "fmabs_la")
    words = ["-m", "common.commands.stage_process", str(tmp_path / "status.json"), bundle, "train"]
    overlay = tmp_path / "settings.json"
    overlay.write_text(json.dumps({"output_dir": str(tmp_path / "run"), "device": "cpu"}))
    with (tmp_path / "output.txt").open("w") as printed:
        stage = subprocess.Popen(
            [sys.executable, *words, str(overlay)], stdin=subprocess.PIPE, stdout=printed, stderr=printed, cwd=ROOT
        )
        stage.stdin.close()
        assert stage.wait(timeout=300) == -signal.SIGKILL
    assert not (tmp_path / "status.json").exists()
